defmodule ShapeRouter.Subquery.CircuitTest do
  # Subqueries kept by a circuit: seeded, shared, moved by transactions, taken back and let go.
  use ExUnit.Case, async: true

  alias ShapeRouter.{Changes, Circuit, Error, IngestBatch, Subqueries, ValueSet}

  doctest ShapeRouter.Subqueries

  @mine "SELECT id FROM projects WHERE owner_id = 5"
  @projects [columns: [id: :int8, owner_id: :int8], primary_key: [:id]]
  @todos [columns: [id: :int8, project_id: :int4, title: :text], primary_key: [:id]]

  defp start(tables \\ [projects: @projects], routers \\ [todos: @todos]) do
    routers =
      for {name, opts} <- routers do
        {:ok, router} = ShapeRouter.new("tenant", to_string(name), opts)
        {name, router}
      end

    {:ok, subqueries} = Subqueries.start_link(tables: tables, routers: routers)
    Map.put(Map.new(routers), :subqueries, subqueries)
  end

  defp project(op, id, owner, old \\ nil) do
    record = %{"id" => "#{id}", "owner_id" => owner && "#{owner}"}

    case op do
      :insert -> %{table: "projects", op: :insert, new_record: record}
      :update -> %{table: "projects", op: :update, new_record: record, old_key: old}
      :delete -> %{table: "projects", op: :delete, old_key: id}
    end
  end

  defp todo(id, project),
    do: %{
      table: "todos",
      op: :insert,
      new_record: %{"id" => "#{id}", "project_id" => project && "#{project}", "title" => "t"}
    }

  defp circuit_stats(context) do
    {:ok, stats} = context.subqueries |> Subqueries.circuit() |> Circuit.stats()
    stats
  end

  test "a shape's set is seeded by what the tables have, and shared by later shapes" do
    %{todos: router, subqueries: subqueries} = context = start()

    batch =
      Enum.reduce(
        1..10,
        IngestBatch.new(),
        &IngestBatch.create(&2, "projects", &1, %{id: &1, owner_id: rem(&1, 2) + 5})
      )

    :ok = Subqueries.load(subqueries, batch)
    assert :ok = Subqueries.add_shape(subqueries, :todos, 1, "project_id IN (#{@mine})")
    assert [%ValueSet{ready: true, values: 5, types: ["bigint"]}] = ValueSet.list(router)

    assert :ok =
             Subqueries.add_shape(
               subqueries,
               "todos",
               2,
               "project_id NOT IN (#{@mine}) AND title = 't'"
             )

    assert [%ValueSet{shapes: 2}] = ValueSet.list(router)
    assert circuit_stats(context).views == 1
    # What is loaded later is fed as well.
    :ok =
      Subqueries.load(
        subqueries,
        IngestBatch.create(IngestBatch.new(), "projects", 12, %{id: 12, owner_id: 5})
      )

    assert Enum.map([2, 3, 12], &ShapeRouter.route(router, todo(1, &1))) == [[1], [2], [1]]
    assert :ok = Subqueries.remove_shape(subqueries, :todos, 1)
    assert circuit_stats(context).views == 1
    assert :ok = Subqueries.remove_shape(subqueries, :todos, 2)
    assert circuit_stats(context).views == 0
    assert ValueSet.list(router) == []
  end

  test "changes of both tables take effect in their order" do
    %{subqueries: subqueries} = start()
    :ok = Subqueries.add_shape(subqueries, :todos, 1, "project_id IN (#{@mine})")
    :ok = Subqueries.add_shape(subqueries, :todos, 2, "project_id NOT IN (#{@mine})")

    answers =
      Subqueries.route_txn(subqueries, 10, [
        todo(1, 7),
        project(:insert, 7, 5),
        todo(2, 7),
        project(:update, 7, 6),
        todo(3, 7),
        project(:update, 8, 5, 7),
        project(:delete, 8, nil)
      ])

    assert Enum.map(answers, fn [{name, list}] -> [{name, Enum.map(list, &sorted/1)}] end) ==
             [
               [{"todos", [{2, :insert}]}],
               [{"todos", [{:move_in, 1, [7]}, {:move_out, 2, [nil, 7]}]}],
               [{"todos", [{1, :insert}]}],
               [{"todos", [{:move_out, 1, [7]}, {:move_in, 2, [nil, 7]}]}],
               [{"todos", [{2, :insert}]}],
               [{"todos", [{:move_in, 1, [8]}, {:move_out, 2, [nil, 8]}]}],
               [{"todos", [{:move_out, 1, [8]}, {:move_in, 2, [nil, 8]}]}]
             ]
             |> Enum.map(fn [{name, list}] -> [{name, Enum.map(list, &sorted/1)}] end)
  end

  defp sorted({kind, id, values}) when is_list(values),
    do: {kind, id, Enum.sort(values)}

  defp sorted(other), do: other

  test "a transaction that is routed again is applied once" do
    %{todos: router, subqueries: subqueries} = start()
    :ok = Subqueries.add_shape(subqueries, :todos, 1, "project_id IN (#{@mine})")
    first = [project(:insert, 7, 5), todo(1, 7)]
    second = [project(:update, 7, 6), project(:insert, 8, 5)]
    a = Subqueries.route_txn(subqueries, 10, first)
    b = Subqueries.route_txn(subqueries, 20, second)
    assert [[{"todos", [{:move_in, 1, [7]}]}], [{"todos", [{1, :insert}]}]] = a
    # Nobody knows whether the answers arrived.
    assert Subqueries.route_txn(subqueries, 10, first) == a
    assert Subqueries.route_txn(subqueries, 20, second) == b
    assert Subqueries.route_txn(subqueries, 20, second) == b
    assert ShapeRouter.route(router, todo(1, 7)) == [], "nothing is acknowledged"
    :ok = Subqueries.ack(subqueries, 10)
    assert ShapeRouter.route(router, todo(1, 7)) == [1]
    assert Subqueries.route_txn(subqueries, 20, second) == b
    :ok = Subqueries.ack(subqueries, 20)
    # What is acknowledged moves nothing and changes nothing.
    assert [[], []] = Subqueries.route_txn(subqueries, 20, second)
    assert ShapeRouter.route(router, todo(1, 8)) == [1]

    assert {:ok, %{record: %{"owner_id" => 6}}} =
             Circuit.row(Subqueries.circuit(subqueries), "projects", 7)
  end

  test "a transaction that is refused leaves nothing behind" do
    %{subqueries: subqueries} = start()
    :ok = Subqueries.add_shape(subqueries, :todos, 1, "project_id IN (#{@mine})")
    bad = [project(:insert, 7, 5), project(:delete, 9, nil)]

    assert {:error, %Error{code: :unknown_row, message: message}} =
             Subqueries.route_txn(subqueries, 10, bad)

    assert message =~ "change 1"
    assert {:ok, nil} = Circuit.row(Subqueries.circuit(subqueries), "projects", 7)
    assert {:error, %Error{}} = Subqueries.route_txn(subqueries, 10, [project(:insert, 7, "x")])

    assert [[{"todos", [{:move_in, 1, [7]}]}]] =
             Subqueries.route_txn(subqueries, 10, [project(:insert, 7, 5)])
  end

  test "a shape that is added while a transaction is not acknowledged is right after it is routed again" do
    %{todos: router, subqueries: subqueries} = start()
    [[]] = Subqueries.route_txn(subqueries, 10, [project(:insert, 7, 5)])
    :ok = Subqueries.add_shape(subqueries, :todos, 1, "project_id IN (#{@mine})")
    assert ShapeRouter.route(router, todo(1, 7)) == [1]
    # Another transaction stands in its place.
    [[{"todos", moves}]] = Subqueries.route_txn(subqueries, 10, [project(:insert, 8, 5)])
    assert moves == [{:move_in, 1, [8]}]
    :ok = Subqueries.ack(subqueries, 10)
    assert Enum.map([7, 8], &ShapeRouter.route(router, todo(1, &1))) == [[], [1]]
  end

  test "an emptied table moves everything that it had" do
    %{subqueries: subqueries} = start()
    :ok = Subqueries.add_shape(subqueries, :todos, 1, "project_id IN (#{@mine})")
    Subqueries.route_txn(subqueries, 10, for(id <- 1..100, do: project(:insert, id, 5)))
    :ok = Subqueries.ack(subqueries, 10)
    truncate = %Changes.TruncatedRelation{relation: {"public", "projects"}}

    assert [[{"todos", [{:move_out, 1, values}]}]] =
             Subqueries.route_txn(subqueries, 20, [truncate])

    assert Enum.sort(values) == Enum.to_list(1..100)

    assert [[{"todos", [{:move_out, 1, again}]}]] =
             Subqueries.route_txn(subqueries, 20, [truncate])

    assert Enum.sort(again) == Enum.sort(values)
  end

  test "several routers share a circuit" do
    notes = [columns: [id: :int8, project_id: :int8], primary_key: [:id]]

    %{subqueries: subqueries} =
      context = start([projects: @projects], todos: @todos, notes: notes)

    :ok = Subqueries.add_shape(subqueries, :todos, 1, "project_id IN (#{@mine})")
    :ok = Subqueries.add_shape(subqueries, :notes, 9, "project_id IN (#{@mine})")
    assert circuit_stats(context).views == 1

    change = %Changes.NewRecord{
      relation: {"public", "projects"},
      record: %{"id" => "7", "owner_id" => "5"}
    }

    assert [answer] = Subqueries.route_txn(subqueries, 10, [change])
    assert answer == [{"notes", [{:move_in, 9, [7]}]}, {"todos", [{:move_in, 1, [7]}]}]
  end

  test "with materialize: true moves carry the rows that move" do
    %{subqueries: subqueries} =
      start(
        [
          projects: @projects,
          todos: [columns: [id: :int8, project_id: :int4, title: :text], primary_key: [:id]]
        ],
        todos: @todos
      )

    Subqueries.route_txn(subqueries, 10, [
      project(:insert, 7, 5),
      todo(1, 7),
      todo(2, 8),
      todo(3, 8)
    ])

    :ok = Subqueries.ack(subqueries, 10)

    assert {:ok, [{1, %{"id" => 1, "project_id" => 7}}]} =
             Subqueries.add_shape(
               subqueries,
               :todos,
               1,
               "project_id IN (#{@mine}) AND title = 't'",
               :unknown,
               materialize: true
             )

    assert [_, _] =
             answers =
             Subqueries.route_txn(subqueries, 20, [
               project(:insert, 8, 5),
               project(:delete, 7, nil)
             ])

    assert [[{"todos", [{:move_in, 1, [8], rows}]}], [{"todos", [{:move_out, 1, [7], [{1, _}]}]}]] =
             answers

    assert rows |> Enum.map(&elem(&1, 0)) |> Enum.sort() == [2, 3]
    # A value that no row has moves none.
    assert [[]] = Subqueries.route_txn(subqueries, 30, [project(:insert, 99, 5)])
    :ok = Subqueries.remove_shape(subqueries, :todos, 1)
  end

  test "a table may be inside and outside at once" do
    nodes = [columns: [id: :int8, parent: :int8, open: :bool], primary_key: [:id]]
    %{subqueries: subqueries} = start([nodes: nodes], nodes: nodes)
    where = "parent IN (SELECT id FROM nodes WHERE open)"
    {:ok, []} = Subqueries.add_shape(subqueries, :nodes, 1, where, :unknown, materialize: true)

    node = fn id, parent, open ->
      %{table: "nodes", op: :insert, new_record: %{id: id, parent: parent, open: open}}
    end

    # Its own parent: it is routed first, and moves itself in.
    assert [[{"nodes", [{:move_in, 1, [1], [{1, _}]}]}]] =
             Subqueries.route_txn(subqueries, 10, [node.(1, 1, true)])

    assert [[{"nodes", [{1, :insert}]}]] =
             Subqueries.route_txn(subqueries, 20, [node.(2, 1, false)])

    close = %{
      table: "nodes",
      op: :update,
      old_record: %{id: 1, parent: 1, open: true},
      new_record: %{id: 1, parent: 1, open: false}
    }

    assert [[{"nodes", [{1, :update}, {:move_out, 1, [1], rows}]}]] =
             Subqueries.route_txn(subqueries, 30, [close])

    assert rows |> Enum.map(&elem(&1, 0)) |> Enum.sort() == [1, 2]
  end

  test "what is wrong with a subquery is told with its place in the clause" do
    %{todos: router, subqueries: subqueries} = context = start()
    add = &Subqueries.add_shape(subqueries, :todos, 1, &1)

    at = fn where, word ->
      {pos, _} = :binary.match(where, word)
      pos
    end

    for {where, code, word} <- [
          {"title = 'x' AND project_id IN (SELECT  nope FROM projects)", :unknown_column, "nope"},
          {"project_id IN (SELECT id FROM   nowhere)", :unknown_table, "nowhere"},
          {"project_id IN (SELECT id FROM projects WHERE owner_id = todos.id)", :not_supported,
           "todos.id"},
          {"project_id IN (SELECT id, owner_id FROM projects)", :syntax_error, "IN"},
          {"title IN (SELECT id FROM projects)", :unknown_operator, nil}
        ] do
      assert {:error, %Error{code: ^code} = error} = add.(where)
      if word, do: assert(error.position == at.(where, word), inspect({where, error}))
    end

    assert ValueSet.list(router) == []
    assert circuit_stats(context).views == 0

    assert {:error, %Error{code: :invalid_argument}} =
             Subqueries.add_shape(subqueries, :nowhere, 1, nil)
  end

  test "a router's directory brings its subqueries back" do
    dir = Path.join(System.tmp_dir!(), "subqueries-#{System.unique_integer([:positive])}")
    on_exit(fn -> File.rm_rf!(dir) end)
    {:ok, router} = ShapeRouter.new("tenant", "todos", [data_dir: dir] ++ @todos)
    :ok = ShapeRouter.add_shape(router, 1, "project_id IN (#{@mine})")
    :ok = ShapeRouter.close(router)
    {:ok, router} = ShapeRouter.new("tenant", "todos", [data_dir: dir] ++ @todos)

    {:ok, subqueries} =
      Subqueries.start_link(tables: [projects: @projects], routers: [todos: router])

    assert [%{ready: true, values: 0}] = ValueSet.list(router)

    :ok =
      Subqueries.load(
        subqueries,
        IngestBatch.create(IngestBatch.new(), "projects", 7, %{id: 7, owner_id: 5})
      )

    assert ShapeRouter.route(router, todo(1, 7)) == [1]

    assert [[{"todos", [{:move_out, 1, [7]}]}]] =
             Subqueries.route_txn(subqueries, 10, [project(:delete, 7, nil)])

    :ok = ShapeRouter.close(router)
  end

  test "shapes that come back know the types that their subqueries select" do
    tables = [rates: [columns: [id: :int8, rate: :numeric], primary_key: [:id]]]
    # What is compared is an integer, and what is selected is not.
    where = "project_id IN (SELECT rate FROM rates) -- by rate"

    for {rate, ids} <- [{"5.5", []}, {"7.0", [1]}] do
      dir = Path.join(System.tmp_dir!(), "subqueries-#{System.unique_integer([:positive])}")
      on_exit(fn -> File.rm_rf!(dir) end)

      for lsn <- [10, 20] do
        {:ok, circuit} = Circuit.new(tables: tables)
        options = [data_dir: dir, circuit: circuit] ++ @todos
        {:ok, router} = ShapeRouter.new("tenant", "todos", options)

        {:ok, subqueries} =
          Subqueries.start_link(tables: tables, circuit: circuit, routers: [todos: router])

        if lsn == 10, do: :ok = Subqueries.add_shape(subqueries, :todos, 1, where)
        assert [%{types: ["numeric"]}] = ValueSet.list(router)
        change = %{table: "rates", op: :insert, new_record: %{id: 1, rate: rate}}

        assert [[{"todos", [{:move_in, 1, [^rate]}]}]] =
                 Subqueries.route_txn(subqueries, lsn, [change])

        assert ShapeRouter.route(router, todo(1, 7)) == []
        :ok = Subqueries.ack(subqueries, lsn)
        assert ShapeRouter.route(router, todo(1, 7)) == ids
        GenServer.stop(subqueries)
        :ok = ShapeRouter.close(router)
      end
    end

    assert {:error, %Error{code: :invalid_argument}} =
             ShapeRouter.new("tenant", "todos", circuit: :none)
  end
end
