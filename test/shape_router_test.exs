defmodule ShapeRouterTest do
  use ExUnit.Case, async: true
  doctest ShapeRouter

  alias ShapeRouter.Error

  @columns [id: :int8, user_id: :int8, status: :text, amount: :numeric, done: :bool]

  defp router(opts \\ []) do
    {:ok, router} =
      ShapeRouter.new("t", "todos", Keyword.merge([columns: @columns, primary_key: [:id]], opts))

    router
  end

  test "records have string or atom keys, and values as text or as terms" do
    router = router()
    :ok = ShapeRouter.add_shape(router, 1, "user_id = 5 AND amount > 1.5 AND done")

    for record <- [
          %{"user_id" => "5", "amount" => "1.50001", "done" => "t"},
          %{user_id: 5, amount: 2.0, done: true},
          %{"user_id" => 5, "amount" => 2, "done" => true},
          %{"amount" => "9", user_id: "5", done: "true"}
        ] do
      assert ShapeRouter.route(router, %{op: :insert, new_record: record}) == [1]
    end

    record = %{user_id: 5, amount: "1.50", done: true}
    assert ShapeRouter.route(router, %{op: :insert, new_record: record}) == []
  end

  test "nil is NULL and an absent key is unknown" do
    router = router()
    :ok = ShapeRouter.add_shape(router, 1, "user_id = 5")
    :ok = ShapeRouter.add_shape(router, 2, "user_id IS NULL")
    route = &ShapeRouter.route(router, %{op: :insert, new_record: &1}, classify: true)
    assert route.(%{user_id: nil}) == [{2, :insert}]
    assert route.(%{status: "x"}) == [{1, :unknown}, {2, :unknown}]
  end

  test "a change without op tells its kind by what it has" do
    router = router()
    :ok = ShapeRouter.add_shape(router, 1, "user_id = 5", [1])
    route = &ShapeRouter.route(router, &1, classify: true)
    assert route.(%{new_record: %{id: 9, user_id: 5}}) == [{1, :insert}]

    assert route.(%{new_record: %{id: 1, user_id: 5}, old_record: %{id: 1, user_id: 5}}) ==
             [{1, :update}]

    assert route.(%{old_record: %{id: 1, user_id: 5}}) == [{1, :delete}]
    assert route.(%{old_key: 1}) == [{1, :delete}]
    assert route.(%{old_key: 2}) == []
    assert route.(%{old_key: 1, new_record: %{id: 2, user_id: 5}}) == [{1, :rekey}]
  end

  test "changes may be structs" do
    alias ShapeRouter.Changes.{DeletedRecord, NewRecord, TruncatedRelation, UpdatedRecord}
    router = router()
    :ok = ShapeRouter.add_shape(router, 1, "user_id = 5", [1])
    route = &ShapeRouter.route(router, &1, classify: true)
    record = %{"id" => "1", "user_id" => "5", "status" => nil, "amount" => nil, "done" => nil}
    assert route.(%NewRecord{record: record}) == [{1, :insert}]
    assert route.(%UpdatedRecord{record: record}) == [{1, :update}]

    assert route.(%UpdatedRecord{record: record, old_record: %{record | "user_id" => "4"}}) == [
             {1, :insert}
           ]

    assert route.(%UpdatedRecord{record: %{record | "id" => "3"}, old_key: %{"id" => "1"}}) == [
             {1, :rekey}
           ]

    assert route.(%DeletedRecord{old_record: record}) == [{1, :delete}]
    assert route.(%DeletedRecord{old_key: %{"id" => "1"}}) == [{1, :delete}]
    assert route.(%DeletedRecord{old_key: %{"id" => "2"}}) == []
    assert route.(%TruncatedRelation{relation: {"public", "todos"}}) == [{1, :truncate}]
  end

  test "a row that enters without a column names it" do
    router = router()
    :ok = ShapeRouter.add_shape(router, 1, "user_id = 5", [])
    change = %{op: :update, new_record: %{id: 1, user_id: 5, amount: nil, done: true}}

    assert ShapeRouter.route(router, change, classify: true) == [
             {1, {:insert, missing: ["status"]}}
           ]
  end

  test "changed columns are names, or positions among the declared columns" do
    router = router()
    :ok = ShapeRouter.add_shape(router, 1, "user_id = 5", [1])
    # Nobody says what user_id is now, only that it did not change.
    route =
      &ShapeRouter.route(router, %{op: :update, pk: 1, new_record: %{id: 1}, changed_columns: &1},
        classify: true
      )

    for changed <- [["status"], [:status], [2], MapSet.new(["status", "elsewhere"]), []] do
      assert route.(changed) == [{1, :update}], inspect(changed)
    end

    for changed <- [["user_id"], [1], [:status, :user_id]],
        do: assert(route.(changed) == [{1, :unknown}])

    assert {:error, %Error{code: :invalid_change}} = route.(5)
    assert {:error, %Error{code: :invalid_change}} = route.([1.5])

    # Positions say nothing where columns are not declared: the first that a clause used is not the
    # first of the table.
    {:ok, open} = ShapeRouter.new("t", "todos")
    :ok = ShapeRouter.add_shape(open, 1, "user_id = 5")

    change = %{
      op: :update,
      old_record: %{user_id: 4},
      new_record: %{user_id: 5},
      changed_columns: [1]
    }

    assert ShapeRouter.route(open, change, classify: true) == [{1, :insert}]
  end

  test "relation messages" do
    alias ShapeRouter.Changes.Relation
    router = router()
    :ok = ShapeRouter.add_shape(router, 1, "user_id = 5", [])
    column = fn {name, oid} -> %{name: name, type_oid: oid, typmod: -1, key?: name == "id"} end
    all = [{"id", 20}, {"user_id", 20}, {"status", 25}, {"amount", 1700}, {"done", 16}]

    relation = %Relation{
      id: 7,
      schema: "public",
      table: "todos",
      replica_identity: :default,
      columns: Enum.map(all, column)
    }

    assert ShapeRouter.route_txn(router, 1, [relation, relation]) == [[], []]
    assert ShapeRouter.route(router, %{relation | table: "renamed"}) == [1]
    dropped = %{relation | columns: all |> List.keydelete("user_id", 0) |> Enum.map(column)}
    insert = %{op: :insert, new_record: %{id: 1, status: "x"}}

    assert [[{1, :unknown}], [{1, :unknown}]] =
             ShapeRouter.route_txn(router, 2, [dropped, insert])

    assert %{filed: :stale} = ShapeRouter.explain(router, 1)
    assert {:error, %Error{code: :invalid_change}} = ShapeRouter.route(router, %{op: :relation})
  end

  test "composite keys are lists in the primary key's order" do
    router = router(primary_key: [:user_id, :status])
    :ok = ShapeRouter.add_shape(router, 1, "amount > 0", [[1, "a"], ["2", "b"]])
    delete = &ShapeRouter.route(router, %{op: :delete, old_key: &1})
    assert delete.([1, "a"]) == [1]
    assert delete.(["1", "a"]) == [1]
    assert delete.([2, "a"]) == []
    assert delete.(%{"status" => "b", "user_id" => "2"}) == [1]

    assert ShapeRouter.route(router, %{op: :delete, old_record: %{user_id: 1, status: "a"}}) == [
             1
           ]
  end

  test "ids are 64 bits wide" do
    router = router()
    most = 0xFFFFFFFFFFFFFFFF
    :ok = ShapeRouter.add_shape(router, most, nil)
    assert ShapeRouter.route(router, %{op: :truncate}) == [most]

    for bad <- [-1, most + 1, :a, 1.0] do
      assert {:error, %Error{code: :invalid_argument}} = ShapeRouter.add_shape(router, bad, nil)
      assert {:error, %Error{code: :invalid_argument}} = ShapeRouter.remove_shape(router, bad)
    end
  end

  test "a batch answers each change in order" do
    router = router()
    :ok = ShapeRouter.add_shapes(router, for(id <- 0..99, do: {id, "user_id = #{id}"}))
    changes = for id <- [3, 200, 99], do: %{op: :insert, new_record: %{user_id: id}}
    assert ShapeRouter.route_batch(router, changes) == [[3], [], [99]]

    assert ShapeRouter.route_batch(router, changes, classify: true) == [
             [{3, :insert}],
             [],
             [{99, :insert}]
           ]

    assert ShapeRouter.route_batch(router, []) == []
  end

  test "answers beyond one call's budget are whole and sorted" do
    router = router()
    count = 30_000

    :ok =
      ShapeRouter.add_shapes(
        router,
        for(id <- count..1//-1, do: {id, "length(status) >= 0 OR amount > 1", []}) |> simple()
      )

    insert = %{op: :insert, new_record: %{id: 1, status: "x", amount: 2}}
    all = Enum.to_list(1..count)
    assert ShapeRouter.route(router, insert) == all
    assert ShapeRouter.route(router, insert, classify: true) == Enum.map(all, &{&1, :insert})
    miss = %{op: :insert, new_record: %{id: 1, status: nil, amount: 0}}
    assert ShapeRouter.route_batch(router, [miss, insert, miss, insert]) == [[], all, [], all]
    answers = ShapeRouter.route_txn(router, 10, [insert, %{op: :truncate}, miss])
    assert answers == [Enum.map(all, &{&1, :insert}), Enum.map(all, &{&1, :truncate}), []]
    assert ShapeRouter.metrics(router)["continuations"] > 3
  end

  # The clause of the budget test, in what is supported today.
  defp simple(shapes), do: for({id, _where, _opts} <- shapes, do: {id, "amount > 1"})

  test "a transaction is staged until it is acknowledged" do
    router = router()
    :ok = ShapeRouter.add_shape(router, 1, "user_id = 5", [])
    insert = %{op: :insert, new_record: %{id: 1, user_id: 5}}
    delete = %{op: :delete, old_key: 1}
    assert ShapeRouter.route_txn(router, 100, [insert]) == [[{1, :insert}]]
    assert ShapeRouter.route(router, delete) == []
    assert ShapeRouter.route_txn(router, 100, [insert]) == [[{1, :insert}]]

    assert ShapeRouter.route_txn(router, {110, 0}, [delete, insert]) == [
             [{1, :delete}],
             [{1, :insert}]
           ]

    assert ShapeRouter.route_txn(router, {110, 1, 77}, []) == []
    assert ShapeRouter.metrics(router)["staged_transactions"] == 3
    :ok = ShapeRouter.ack(router, 110)
    assert ShapeRouter.route(router, delete) == [1]
    assert %{"staged_transactions" => 0, "acked_lsn" => 110} = ShapeRouter.metrics(router)
  end

  test "every refusal is a typed error that names what was wrong" do
    router = router()

    for {where, code, position} <- [
          {"user_id =", :syntax_error, nil},
          {"nope = 1", :unknown_column, 0},
          {"user_id = 1 AND nope = 1", :unknown_column, 16},
          {"user_id = 'x'", :invalid_literal, nil},
          {"now() > '2020-01-01'", :volatile_function, 0}
        ] do
      assert {:error, %Error{} = error} = ShapeRouter.add_shape(router, 1, where)
      assert error.code == code, inspect({where, error})
      if position, do: assert(error.position == position, inspect({where, error}))
      assert error.message =~ "shape 1"
    end

    assert {:error, %Error{code: :duplicate_shape}} =
             ShapeRouter.add_shapes(router, [{1, nil}, {1, nil}])

    assert {:error, %Error{code: :unknown_shape}} = ShapeRouter.remove_shape(router, 1)
    assert {:error, %Error{code: :unknown_shape}} = ShapeRouter.explain(router, 1)

    for change <- [
          %{},
          :nope,
          %{op: :nope},
          %{op: :insert},
          %{op: :insert, new_record: 5},
          %{op: "insert"}
        ] do
      assert {:error, %Error{code: :invalid_change}} = ShapeRouter.route(router, change)

      assert {:error, %Error{code: :invalid_change, message: "change 1: " <> _}} =
               ShapeRouter.route_batch(router, [%{op: :truncate}, change])
    end

    for opts <- [[nope: 1], [old_row: :maybe], :nope] do
      assert {:error, %Error{code: :invalid_argument}} =
               ShapeRouter.route(router, %{op: :truncate}, opts)
    end

    for opts <- [
          [nope: 1],
          [columns: [5]],
          [columns: [a: 5]],
          [primary_key: [5]],
          [max_shapes: -1],
          [num_lanes: 0],
          [rebuild_threshold: 0],
          [rebuild_threshold: "half"],
          :nope
        ] do
      assert {:error, %Error{code: :invalid_argument}} = ShapeRouter.new("t", "todos", opts)
    end

    assert {:error, %Error{code: :unknown_type}} =
             ShapeRouter.new("t", "todos", columns: [a: :nope])

    assert {:error, %Error{code: :unknown_column}} =
             ShapeRouter.new("t", "todos", columns: [a: :int8], primary_key: [:b])

    assert {:error, %Error{code: :invalid_key}} = ShapeRouter.add_shape(router, 1, nil, ["x"])
    assert ShapeRouter.shapes(router) == []
  end

  test "a closed router refuses" do
    router = router()
    :ok = ShapeRouter.close(router)
    assert {:error, %Error{code: :closed}} = ShapeRouter.route(router, %{op: :truncate})
    assert {:error, %Error{code: :closed}} = ShapeRouter.add_shape(router, 1, nil)
    assert {:error, %Error{code: :closed}} = ShapeRouter.ack(router, 1)
  end

  test "column names of clauses make no atoms" do
    {:ok, router} = ShapeRouter.new("t", "todos")
    before = :erlang.system_info(:atom_count)

    :ok =
      ShapeRouter.add_shapes(router, for(n <- 1..200, do: {n, "column_nobody_named_#{n} = #{n}"}))

    record = %{"column_nobody_named_7" => "7"}
    assert 7 in ShapeRouter.route(router, %{op: :insert, new_record: record})
    assert :erlang.system_info(:atom_count) - before < 50
  end

  test "many processes route while shapes come and go" do
    router = router()
    :ok = ShapeRouter.add_shapes(router, for(id <- 0..99, do: {id, "user_id = #{id}"}))

    readers =
      for _ <- 1..4 do
        Task.async(fn ->
          for n <- 1..3000 do
            ids = ShapeRouter.route(router, %{op: :insert, new_record: %{user_id: rem(n, 100)}})
            assert rem(n, 100) in ids
          end
        end)
      end

    for id <- 1000..1500 do
      :ok = ShapeRouter.add_shape(router, id, "user_id = #{rem(id, 100)}", [id])
      :ok = ShapeRouter.remove_shape(router, id)
    end

    Task.await_many(readers)
    assert ShapeRouter.shapes(router) == Enum.to_list(0..99)
  end
end
