defmodule ShapeRouter.DurableRouterTest do
  # A router with a `data_dir`: what comes back, what is refused, what is copied.
  use ExUnit.Case, async: true

  alias ShapeRouter.Error

  @columns [id: :int8, user_id: :int8, title: :text]

  setup do
    dir = Path.join(System.tmp_dir!(), "durable-#{System.unique_integer([:positive])}")
    on_exit(fn -> File.rm_rf!(dir) end)
    %{dir: dir}
  end

  defp open(dir, opts \\ []) do
    defaults = [columns: @columns, primary_key: [:id], data_dir: dir]
    ShapeRouter.new("tenant", "todos", Keyword.merge(defaults, opts))
  end

  defp open!(dir, opts \\ []) do
    {:ok, router} = open(dir, opts)
    router
  end

  test "shapes and their rows come back without being told again", %{dir: dir} do
    router = open!(dir)
    :ok = ShapeRouter.add_shape(router, 1, "user_id = 5", [10, 11])
    :ok = ShapeRouter.add_shape(router, 2, "user_id = $1", :unknown, params: [6])

    :ok =
      ShapeRouter.add_shapes(router, [
        {3, nil, keys: []},
        {4, "title LIKE 'a%'", snapshot: {5, 9, [7]}}
      ])

    :ok = ShapeRouter.remove_shape(router, 3)
    [[{1, :delete} | _]] = ShapeRouter.route_txn(router, 100, [%{old_key: 10, op: :delete}])
    :ok = ShapeRouter.ack(router, 100)
    first = ShapeRouter.route_txn(router, 200, [%{old_key: 11, op: :delete}])
    assert [[{1, :delete} | _]] = first
    :ok = ShapeRouter.close(router)
    assert {:error, %Error{code: :closed}} = ShapeRouter.add_shape(router, 9, nil)

    router = open!(dir)
    assert ShapeRouter.shapes(router) == [1, 2, 4]
    assert ShapeRouter.metrics(router)["acked_lsn"] == 100
    record = %{id: 1, user_id: 6, title: "b"}
    assert ShapeRouter.route(router, %{op: :insert, new_record: record}) == [2]
    assert ShapeRouter.route(router, %{op: :delete, old_key: 10}) == [2, 4]
    # What was not acknowledged comes again, and is answered as it was the first time.
    assert ShapeRouter.route_txn(router, 200, [%{old_key: 11, op: :delete}]) == first
    :ok = ShapeRouter.ack(router, 200)
    assert ShapeRouter.route(router, %{op: :delete, old_key: 11}) == [2, 4]
    assert ShapeRouter.explain(router, 4).filed == :prefix
  end

  test "a directory belongs to one router", %{dir: dir} do
    router = open!(dir)
    assert {:error, %Error{code: :locked}} = open(dir)
    :ok = ShapeRouter.close(router)
    assert {:ok, _} = open(dir)
  end

  test "another router is refused with the difference", %{dir: dir} do
    :ok = dir |> open!() |> ShapeRouter.close()

    for {opts, told} <- [
          {[primary_key: [:user_id]], "primary key"},
          {[time_zone: "Europe/Berlin"], "time zone"},
          {[columns: [id: :int8, user_id: :text, title: :text]],
           "column \"user_id\": bigint there"},
          {[columns: [id: :int8, user_id: :int8]], "title"}
        ] do
      assert {:error, %Error{code: :mismatch, message: message}} = open(dir, opts)
      assert message =~ told
    end

    assert {:error, %Error{code: :mismatch}} =
             ShapeRouter.new("tenant", "other",
               columns: @columns,
               primary_key: [:id],
               data_dir: dir
             )

    assert {:ok, _} = open(dir, columns: @columns ++ [came_since: :date])
  end

  test "damage is named and changes nothing", %{dir: dir} do
    router = open!(dir)
    :ok = ShapeRouter.add_shape(router, 1, "user_id = 5", [1])
    :ok = ShapeRouter.close(router)
    manifest = Path.join(dir, "manifest.json")
    whole = File.read!(manifest)
    File.write!(manifest, String.replace(whole, "todos", "todo5"))
    assert {:error, %Error{code: :damaged, message: message}} = open(dir)
    assert message =~ "manifest.json"
    assert message =~ "byte"
    File.write!(manifest, whole)
    assert dir |> open!() |> ShapeRouter.shapes() == [1]
  end

  test "a copy is the router as it was", %{dir: dir} do
    copy = dir <> "-copy"
    on_exit(fn -> File.rm_rf!(copy) end)
    router = open!(dir)
    :ok = ShapeRouter.add_shape(router, 1, "user_id = 5", [1])
    :ok = ShapeRouter.snapshot(router, copy)
    :ok = ShapeRouter.add_shape(router, 2, "user_id = 6")
    assert {:error, %Error{code: :not_empty}} = ShapeRouter.snapshot(router, copy)
    assert copy |> open!() |> ShapeRouter.shapes() == [1]
    assert ShapeRouter.shapes(router) == [1, 2]

    {:ok, memory} = ShapeRouter.new("tenant", "todos")
    assert {:error, %Error{code: :invalid_argument}} = ShapeRouter.snapshot(memory, copy)
  end

  test "clauses teach an open table its columns for good", %{dir: dir} do
    router = open!(dir, columns: nil, primary_key: [])
    :ok = ShapeRouter.add_shape(router, 1, "kind = 7")
    :ok = ShapeRouter.close(router)
    router = open!(dir, columns: nil, primary_key: [])

    assert {:error, %Error{code: :datatype_mismatch}} =
             ShapeRouter.add_shape(router, 2, "kind = 'seven'::text")
  end

  test "fsync is one of three", %{dir: dir} do
    for {fsync, index} <- Enum.with_index([:always, :never, {:interval, 5}]) do
      router = open!("#{dir}/#{index}", fsync: fsync, mmap: false)
      :ok = ShapeRouter.add_shape(router, 1, "user_id = 5")
      :ok = ShapeRouter.close(router)
      assert "#{dir}/#{index}" |> open!(fsync: fsync) |> ShapeRouter.shapes() == [1]
    end

    for fsync <- [:sometimes, {:interval, -1}, 5] do
      assert {:error, %Error{code: :invalid_argument}} = open(dir, fsync: fsync)
    end

    assert {:error, %Error{code: :invalid_argument}} = open(5)
  end

  test "processes add, remove and acknowledge at once", %{dir: dir} do
    router = open!(dir)

    tasks =
      for writer <- 1..4 do
        Task.async(fn ->
          for n <- 1..25 do
            :ok = ShapeRouter.add_shape(router, writer * 100 + n, "user_id = #{n}")
            if rem(n, 5) == 0, do: :ok = ShapeRouter.remove_shape(router, writer * 100 + n)
          end
        end)
      end

    for lsn <- 1..20 do
      ShapeRouter.route_txn(router, lsn, [%{new_record: %{id: lsn, user_id: 3}}])
      :ok = ShapeRouter.ack(router, lsn)
    end

    Task.await_many(tasks, 30_000)
    shapes = ShapeRouter.shapes(router)
    assert length(shapes) == 80
    :ok = ShapeRouter.close(router)
    assert dir |> open!() |> ShapeRouter.shapes() == shapes
  end
end
