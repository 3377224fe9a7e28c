defmodule ShapeRouter.DurableCollectorTest do
  use ExUnit.Case, async: true

  alias ShapeRouter.Changes.{DeletedRecord, NewRecord, Transaction, UpdatedRecord}
  alias ShapeRouter.{Error, ShapeLogCollector, WholeLog}

  @moduletag :tmp_dir
  @todos {"public", "todos"}
  @columns [columns: [id: :int8, user_id: :int8, title: :text], primary_key: [:id]]

  defp start(dir, opts \\ []) do
    start_supervised!(
      {ShapeLogCollector, [tables: [{"public.todos", @columns}], storage_dir: dir] ++ opts},
      restart: :temporary
    )
  end

  defp row(id, user_id, title \\ "a"),
    do: %{"id" => "#{id}", "user_id" => "#{user_id}", "title" => title}

  defp insert(id, user_id), do: %NewRecord{relation: @todos, record: row(id, user_id)}

  defp update(id, user_id, opts \\ []),
    do: %UpdatedRecord{
      relation: @todos,
      record: Map.drop(row(id, user_id, "b"), opts[:without] || []),
      old_key: opts[:old_key]
    }

  defp delete(id), do: %DeletedRecord{relation: @todos, old_key: %{"id" => "#{id}"}}

  defp commit(collector, lsn, changes),
    do: ShapeLogCollector.handle_transaction(collector, %Transaction{lsn: lsn, changes: changes})

  defp read(collector, id, offset \\ :before_all) do
    {:ok, shape} = ShapeLogCollector.shape(collector, id)
    json = shape.log |> WholeLog.pieces(offset) |> IO.iodata_to_binary()

    for [_, op, key] <-
          Regex.scan(~r/"key":"(?:[^"\\]|\\.)*".*?"operation":"(\w+)"/, json)
          |> Enum.map(&[nil, List.last(&1), hd(&1)]) do
      [_, id] = Regex.run(~r/"id":"(\d+)"/, key)
      {String.to_atom(op), String.to_integer(id)}
    end
  end

  test "what belongs to a shape is in its log, rows that were there first", %{tmp_dir: dir} do
    collector = start(dir)

    :ok =
      ShapeLogCollector.add_shape(collector, 1, {"todos", "user_id = 5"},
        rows: [row(1, 5), row(2, 5)]
      )

    :ok = ShapeLogCollector.add_shape(collector, 2, {"todos", nil}, keys: [])
    assert read(collector, 1) == [insert: 1, insert: 2]
    assert :ok = commit(collector, 100, [insert(3, 5), insert(4, 6), update(1, 6), delete(2)])
    assert read(collector, 1) == [insert: 1, insert: 2, insert: 3, delete: 1, delete: 2]
    assert [{:insert, 3}, {:insert, 4} | _] = read(collector, 2)
    assert ShapeLogCollector.durable_lsn(collector) == 100

    assert {:ok, %{id: 1}} =
             ShapeLogCollector.find_shape(collector, "public.todos", "user_id = 5")

    assert {:error, %Error{code: :unknown_shape}} =
             ShapeLogCollector.find_shape(collector, "todos", "user_id = 6")

    assert ShapeLogCollector.shapes(collector) == [1, 2]
  end

  test "after a restart everything goes on where it was", %{tmp_dir: dir} do
    collector = start(dir)

    :ok =
      ShapeLogCollector.add_shape(collector, 1, {"todos", "user_id = 5"},
        rows: [row(1, 5)],
        descriptor: :mine
      )

    :ok = ShapeLogCollector.add_shape(collector, 2, {"todos", "user_id = 6"}, keys: [])
    :ok = ShapeLogCollector.add_shape(collector, 3, {"todos", "user_id = 7"}, keys: [])
    :ok = ShapeLogCollector.remove_shape(collector, 3)
    :ok = commit(collector, 100, [insert(3, 5), update(1, 6)])
    {:ok, %{handle: handle}} = ShapeLogCollector.shape(collector, 1)

    for stop <- [:normal, :kill] do
      if stop == :kill,
        do: Process.exit(collector, :kill),
        else: stop_supervised!(ShapeLogCollector)

      collector = again(dir)
      assert ShapeLogCollector.durable_lsn(collector) == 100
      assert ShapeLogCollector.shapes(collector) == [1, 2]
      assert {:ok, %{handle: ^handle, descriptor: :mine}} = ShapeLogCollector.shape(collector, 1)
      # What PostgreSQL sends again is not logged again.
      assert :ok = commit(collector, 100, [insert(3, 5), update(1, 6)])
      assert read(collector, 1) == [insert: 1, insert: 3, delete: 1]
      assert read(collector, 2) == [insert: 1]
      stop_supervised!(ShapeLogCollector)
    end

    collector = again(dir)
    # Membership is what it was: the row that went to 6 is deleted there.
    assert :ok = commit(collector, 101, [delete(1)])
    assert read(collector, 1) == [insert: 1, insert: 3, delete: 1]
    assert read(collector, 2) == [insert: 1, delete: 1]
    # Another log of the same shape has another handle.
    :ok = ShapeLogCollector.remove_shape(collector, 1)
    :ok = ShapeLogCollector.add_shape(collector, 1, {"todos", "user_id = 5"}, keys: [])
    assert {:ok, %{handle: other}} = ShapeLogCollector.shape(collector, 1)
    assert other != handle and read(collector, 1) == []
  end

  defp again(dir), do: start(dir)

  test "a supervisor starts one that was killed again", %{tmp_dir: dir} do
    opts = [tables: [{"todos", @columns}], storage_dir: dir, name: __MODULE__.Killed]
    first = start_supervised!({ShapeLogCollector, opts})
    :ok = ShapeLogCollector.add_shape(first, 1, {"todos", nil}, keys: [])
    :ok = commit(first, 100, [insert(1, 5)])

    Enum.reduce(1..3, first, fn n, killed ->
      Process.exit(killed, :kill)
      collector = started(killed)
      assert ShapeLogCollector.durable_lsn(collector) == 99 + n
      :ok = commit(collector, 100 + n, [insert(1 + n, 5)])
      assert length(read(collector, 1)) == 1 + n
      collector
    end)
  end

  # Started, and not the one before.
  defp started(before) do
    case Process.whereis(__MODULE__.Killed) do
      pid when is_pid(pid) and pid != before -> pid
      _ -> Process.sleep(10) && started(before)
    end
  end

  test "a shape that is refused leaves nothing behind", %{tmp_dir: dir} do
    collector = start(dir)
    :ok = ShapeLogCollector.add_shape(collector, 1, {"todos", nil})

    for {shapes, code} <- [
          {[{2, {"todos", "nobody = 5"}}], :unknown_column},
          {[{2, {"others", nil}}], :unknown_table},
          {[{2, {"todos", nil}}, {1, {"todos", nil}}], :duplicate_shape},
          {[{2, {"todos", nil}}, {2, {"todos", nil}}], :duplicate_shape},
          {[{2, {"todos", nil}}, {3, {"todos", "id = "}}], :syntax_error},
          {[{2, {"todos", nil}, [rows: [:none]]}], :invalid_argument},
          {[{-1, {"todos", nil}}], :invalid_argument},
          {[{2, {"todos", nil}, [color: 1]}], :invalid_argument}
        ] do
      assert {:error, %Error{code: ^code}} = ShapeLogCollector.add_shapes(collector, shapes)
      assert ShapeLogCollector.shapes(collector) == [1]
    end

    stop_supervised!(ShapeLogCollector)
    assert ShapeLogCollector.shapes(again(dir)) == [1]
  end

  test "large transactions come in fragments and are logged with the last", %{tmp_dir: dir} do
    collector = start(dir)
    :ok = ShapeLogCollector.add_shape(collector, 1, {"todos", nil}, keys: [])
    :ok = ShapeLogCollector.subscribe(collector, 1)

    fragment = fn n, last?, changes ->
      transaction = %Transaction{lsn: 100, fragment: n, last?: last?, changes: changes}
      ShapeLogCollector.handle_transaction(collector, transaction)
    end

    assert :ok = fragment.(0, false, [insert(1, 5)])
    assert read(collector, 1) == []
    # The connection was lost: it starts over.
    assert :ok = fragment.(0, false, [insert(1, 5)])
    assert :ok = fragment.(1, false, [insert(2, 5)])
    refute_received {:shape_router, 1, _}
    assert :ok = fragment.(2, true, [delete(1)])
    assert read(collector, 1) == [insert: 1, insert: 2, delete: 1]
    assert_receive {:shape_router, 1, [%{op: :insert}, %{op: :insert}, %{op: :delete}]}
  end

  test "shapes of a table that was altered are removed, and delivery goes on", %{tmp_dir: dir} do
    collector = start(dir)
    :ok = ShapeLogCollector.add_shape(collector, 1, {"todos", "user_id = 5"}, keys: [])
    assert :ok = commit(collector, 100, [relation(20), insert(1, 5)])

    ExUnit.CaptureLog.capture_log(fn ->
      assert :ok = commit(collector, 200, [relation(25), insert(2, 5)])
    end)

    assert ShapeLogCollector.shapes(collector) == []
    assert {:error, %Error{code: :unknown_shape}} = ShapeLogCollector.shape(collector, 1)
    assert :ok = commit(collector, 300, [insert(3, 5)])
    :ok = stop_supervised(ShapeLogCollector)
    assert start(dir) |> ShapeLogCollector.shapes() == []
  end

  defp relation(type_oid) do
    columns =
      for {name, oid} <- [{"id", 20}, {"user_id", type_oid}, {"title", 25}],
          do: %{name: name, type_oid: oid, typmod: -1, key?: name == "id"}

    %ShapeRouter.Changes.Relation{id: 9, schema: "public", table: "todos", columns: columns}
  end

  test "a row without its large column is read before it is logged", %{tmp_dir: dir} do
    test = self()

    read_rows = fn table, keys, columns ->
      send(test, {:read, table, keys, columns})

      {:ok,
       [
         Map.take(
           row(1, 5, "from the table"),
           if(columns == :all, do: ~w(id user_id title), else: ["id" | columns])
         )
       ]}
    end

    collector = start(dir, read_rows: read_rows)
    :ok = ShapeLogCollector.add_shape(collector, 1, {"todos", "user_id = 5"}, keys: [])

    :ok =
      ShapeLogCollector.add_shape(collector, 2, {"todos", "title = 'from the table'"}, keys: [])

    assert :ok = commit(collector, 100, [update(1, 5, without: ["title"])])
    assert_received {:read, @todos, [%{"id" => "1"}], _columns}
    {:ok, %{log: log}} = ShapeLogCollector.shape(collector, 1)
    assert log |> WholeLog.pieces() |> IO.iodata_to_binary() =~ ~s("title":"from the table")
    assert read(collector, 2) == [upsert: 1]

    failing =
      start_supervised!(
        {ShapeLogCollector,
         tables: [{"todos", @columns}], read_rows: fn _, _, _ -> {:error, :gone} end},
        id: :failing
      )

    :ok = ShapeLogCollector.add_shape(failing, 1, {"todos", "user_id = 5"}, keys: [])

    assert {:error, %Error{code: :read_rows_failed}} =
             commit(failing, 100, [update(1, 5, without: ["title"])])
  end

  # What the demo found: the row stayed under its old key.
  test "a row that gets another key leaves the old one, also where it is not known what a shape holds",
       %{tmp_dir: dir} do
    collector = start(dir)

    :ok =
      ShapeLogCollector.add_shape(collector, 1, {"todos", "user_id = 5"},
        rows: [row(1, 5)],
        keys: :unknown
      )

    :ok =
      ShapeLogCollector.add_shape(collector, 2, {"todos", "title = 'b'"}, rows: [row(1, 5, "b")])

    # The WAL leaves the title out: whether the row belongs to shape 2 is not known.
    rekeyed = update(7, 5, old_key: %{"id" => "1"}, without: ["title"])
    assert :ok = commit(collector, 100, [update(1, 5)])
    assert :ok = commit(collector, 101, [rekeyed])
    assert read(collector, 1) == [insert: 1, upsert: 1, delete: 1, insert: 7]
    assert read(collector, 2) == [insert: 1, update: 1, delete: 1, unknown: 7]
    stop_supervised!(ShapeLogCollector)

    row7 = row(7, 5, "b")
    collector = start(Path.join(dir, "reads"), read_rows: fn _, _, _ -> {:ok, [row7]} end)

    :ok =
      ShapeLogCollector.add_shape(collector, 2, {"todos", "title = 'b'"}, rows: [row(1, 5, "b")])

    assert :ok = commit(collector, 101, [rekeyed])
    assert read(collector, 2) == [insert: 1, delete: 1, upsert: 7]
  end

  test "a row under another key, or of which it is not known whether it is held, is logged whole",
       %{tmp_dir: dir} do
    read_rows = fn _, keys, _ -> {:ok, for(%{"id" => id} <- keys, do: row(id, 5, "read"))} end
    collector = start(dir, read_rows: read_rows)
    rows = [row(1, 5), row(2, 5)]
    :ok = ShapeLogCollector.add_shape(collector, 1, {"todos", "user_id = 5"}, rows: rows)

    :ok =
      ShapeLogCollector.add_shape(collector, 2, {"todos", "user_id = 5"},
        rows: rows,
        keys: :unknown
      )

    without = [without: ["title"]]
    assert :ok = commit(collector, 100, [update(2, 5, without)])
    assert :ok = commit(collector, 101, [update(7, 5, [old_key: %{"id" => "1"}] ++ without)])

    for id <- [1, 2] do
      {:ok, %{log: log}} = ShapeLogCollector.shape(collector, id)
      messages = log |> WholeLog.pieces() |> IO.iodata_to_binary()
      assert messages =~ ~s("id":"7","title":"read","user_id":"5")
    end

    {:ok, %{log: log}} = ShapeLogCollector.shape(collector, 2)
    messages = log |> WholeLog.pieces() |> IO.iodata_to_binary()
    assert messages =~ ~r/"id":"2","title":"read".*"operation":"upsert"/
  end

  test "under the full identity the old row has what the new one leaves out", %{tmp_dir: dir} do
    collector = start(dir, read_rows: fn _, _, _ -> flunk("there is nothing to be read") end)
    :ok = ShapeLogCollector.add_shape(collector, 1, {"todos", "user_id = 5"}, keys: [])
    old = row(1, 6, "as it was")
    change = %{update(1, 5, without: ["title"]) | old_record: old}
    assert :ok = commit(collector, 100, [change])
    {:ok, %{log: log}} = ShapeLogCollector.shape(collector, 1)
    assert log |> WholeLog.pieces() |> IO.iodata_to_binary() =~ ~s("title":"as it was")
  end

  test "thousands of shapes with rows are added together", %{tmp_dir: dir} do
    collector = start(dir)

    shapes =
      for id <- 1..1_000 do
        {id, {"todos", "user_id = #{id}"}, rows: for(n <- 1..rem(id, 4)//1, do: row(n, id))}
      end

    :ok = ShapeLogCollector.add_shapes(collector, shapes)
    Process.exit(collector, :kill)
    stop_supervised(ShapeLogCollector)
    collector = again(dir)
    assert ShapeLogCollector.shapes(collector) == Enum.to_list(1..1_000)

    for id <- [1, 2, 3, 4, 999, 1_000],
        do: assert(length(read(collector, id)) == rem(id, 4))
  end

  test "who waits for a shape hears of it", %{tmp_dir: dir} do
    collector = start(dir)
    :ok = ShapeLogCollector.add_shape(collector, 1, {"todos", nil}, keys: [])
    assert :timeout = ShapeLogCollector.await(collector, 1, {0, 0}, 10)
    waiter = Task.async(fn -> ShapeLogCollector.await(collector, 1, {0, 0}, 5000) end)
    :ok = commit(collector, 100, [insert(1, 5)])
    assert Task.await(waiter) == :changed
    assert :changed = ShapeLogCollector.await(collector, 1, {0, 0}, 5000)
    waiter = Task.async(fn -> ShapeLogCollector.await(collector, 1, {100, 0}, 5000) end)
    Process.sleep(50)
    :ok = ShapeLogCollector.remove_shape(collector, 1)
    assert Task.await(waiter) == :removed
  end

  test "what leaves the caches is told now and then", %{tmp_dir: dir} do
    :telemetry.listen([:shape_router, :operation_cache, :evict])
    collector = start(dir, operation_cache_max_operations: 2)
    :ok = ShapeLogCollector.add_shape(collector, 1, {"todos", nil}, keys: [])
    :ok = commit(collector, 100, for(id <- 1..10, do: insert(id, 5)))
    # The caches are fed a moment after the commit is durable.
    assert evicted(collector, 100) == 8
  end

  defp evicted(_collector, 0), do: 0

  defp evicted(collector, tries) do
    send(collector, :sync)

    receive do
      {:telemetry, _, %{count: count}, %{shape: :all}} -> count
    after
      50 -> evicted(collector, tries - 1)
    end
  end

  test "one that stops, or is killed, while its routers are synced does so quietly", %{
    tmp_dir: dir
  } do
    tables = for n <- 1..4, do: {"table_#{n}", @columns}
    opts = [tables: tables, storage_dir: dir, name: __MODULE__.Stopping]

    log =
      ExUnit.CaptureLog.capture_log(fn ->
        for round <- 1..4 do
          collector = start_supervised!({ShapeLogCollector, opts}, restart: :temporary)

          # So that there is something to sync of each.
          for n <- 1..4 do
            shape = {"table_#{n}", "user_id = #{round}"}
            :ok = ShapeLogCollector.add_shape(collector, 100 * round + n, shape, keys: [1])
          end

          send(collector, :sync)
          # It has taken the message when it answers this.
          _ = ShapeLogCollector.durable_lsn(collector)
          if rem(round, 2) == 0, do: Process.exit(collector, :kill)
          _ = stop_supervised(ShapeLogCollector)
        end
      end)

    refute log =~ "raised an exception"
    refute log =~ "closed"
    collector = start_supervised!({ShapeLogCollector, opts})
    assert length(ShapeLogCollector.shapes(collector)) == 4 * 4
  end

  test "one whose router was closed by somebody else says so and ends", %{tmp_dir: dir} do
    Process.flag(:trap_exit, true)

    log =
      ExUnit.CaptureLog.capture_log(fn ->
        {:ok, collector} =
          ShapeLogCollector.start_link(tables: [{"todos", @columns}], storage_dir: dir)

        :ok = ShapeLogCollector.add_shape(collector, 1, {"todos", nil}, keys: [1])
        {:ok, router} = ShapeLogCollector.router(collector, "todos")
        :ok = ShapeRouter.close(router)
        send(collector, :sync)
        assert_receive {:EXIT, ^collector, {:sync_failed, %Error{code: :closed}}}, 5_000
      end)

    refute log =~ "raised an exception"
    assert log =~ "sync_failed"
  end

  test "nothing is acknowledged, told or read before it is durable", %{tmp_dir: dir} do
    opts = [tables: [{"todos", @columns}], storage_dir: dir, fsync: {:interval, 2_000}]
    collector = start_supervised!({ShapeLogCollector, opts})
    :ok = ShapeLogCollector.add_shape(collector, 1, {"todos", nil}, keys: [])
    :ok = ShapeLogCollector.subscribe(collector, 1)
    handled = Task.async(fn -> commit(collector, 100, [insert(1, 5)]) end)
    assert Task.yield(handled, 200) == nil
    assert ShapeLogCollector.durable_lsn(collector) == 0
    assert read(collector, 1) == []
    refute_received {:shape_router, 1, _}
    assert Task.await(handled, 20_000) == :ok
    assert ShapeLogCollector.durable_lsn(collector) == 100
    assert read(collector, 1) == [insert: 1]
    assert_received {:shape_router, 1, [%{op: :insert}]}
  end

  test "a directory of other tables is refused", %{tmp_dir: dir} do
    collector = start(dir)
    :ok = ShapeLogCollector.add_shape(collector, 1, {"todos", nil}, keys: [])
    stop_supervised!(ShapeLogCollector)
    Process.flag(:trap_exit, true)

    assert {:error, %Error{code: :mismatch}} =
             ShapeLogCollector.start_link(tables: [{"others", @columns}], storage_dir: dir)

    assert {:error, %Error{code: :invalid_argument}} =
             ShapeLogCollector.start_link(storage_dir: 5)

    assert {:error, %Error{code: :invalid_argument}} =
             ShapeLogCollector.start_link(tables: [], nothing: 1)
  end
end
