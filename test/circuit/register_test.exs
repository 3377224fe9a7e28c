defmodule ShapeRouter.Circuit.RegisterTest do
  @moduledoc "Tables and views come and go."
  use ExUnit.Case, async: true

  import ShapeRouter.TestCircuits

  alias ShapeRouter.{Circuit, Error, ViewUpdate}

  doctest ShapeRouter.Circuit
  doctest ShapeRouter.IngestBatch

  test "a view on loaded tables begins with the rows that are there" do
    circuit = circuit()
    step!(circuit, [todo(2), todo(1), todo(3, %{done: true})])

    assert view!(circuit, 7, "SELECT id, title FROM todos WHERE NOT done") == %ViewUpdate{
             view_id: 7,
             format: :flat,
             hash: Circuit.hash(circuit, 7) |> elem(1),
             ids: [1, 2],
             records: [
               %{event: :created, id: 1, record: %{"id" => 1, "title" => "t1"}},
               %{event: :created, id: 2, record: %{"id" => 2, "title" => "t2"}}
             ]
           }
  end

  test "ids of views are integers, atoms and strings, and come back as they were" do
    circuit = circuit()
    ids = [0, 18_446_744_073_709_551_615, :a_view, true, "a view", "", "1", 1, :"1"]
    for id <- ids, do: assert(view!(circuit, id, "SELECT id FROM todos").view_id === id)
    assert Circuit.views(circuit) === {:ok, ids}
    assert for(update <- step!(circuit, [todo(1)]), do: update.view_id) === ids
    assert Circuit.unregister(circuit, "a view") == :ok
    assert Circuit.views(circuit) === {:ok, ids -- ["a view"]}
    assert {:error, %Error{code: :unknown_view}} = Circuit.unregister(circuit, "a view")
    # Last again.
    view!(circuit, "a view", "SELECT id FROM todos")
    assert Circuit.views(circuit) === {:ok, (ids -- ["a view"]) ++ ["a view"]}
  end

  test "an id is taken once" do
    circuit = circuit()
    view!(circuit, :one, "SELECT id FROM todos")

    assert {:error, %Error{code: :duplicate_view, message: message}} =
             Circuit.register(circuit, :one, "SELECT id FROM projects")

    assert message =~ "one"
    assert Circuit.columns(circuit, :one) == {:ok, [{"id", "bigint"}]}
  end

  test "views share what they have in common, and free it with the last" do
    circuit = circuit()
    sql = "SELECT t.id FROM todos t JOIN projects p ON p.id = t.project_id WHERE p.owner_id = 5"
    view!(circuit, 1, sql)
    {:ok, %{nodes: nodes, arrangements: 2}} = Circuit.stats(circuit)
    for id <- 2..100, do: view!(circuit, id, sql)
    assert {:ok, %{nodes: ^nodes, arrangements: 2, views: 100}} = Circuit.stats(circuit)
    for id <- 1..99, do: assert(Circuit.unregister(circuit, id) == :ok)
    assert {:ok, %{nodes: ^nodes, views: 1}} = Circuit.stats(circuit)
    assert Circuit.unregister(circuit, 100) == :ok
    assert {:ok, %{nodes: 0, arrangements: 0, views: 0}} = Circuit.stats(circuit)
  end

  test "parameters stand for values" do
    circuit = circuit()
    step!(circuit, [todo(1), todo(2), todo(3)])
    sql = "SELECT id FROM todos WHERE id = ANY($1) AND title <> $2"
    assert view!(circuit, 1, sql, params: [[1, 2], "t1"]).ids == [2]

    assert {:error, %Error{code: :unknown_parameter, position: 32}} =
             Circuit.register(circuit, 2, "SELECT id FROM todos WHERE id = $1")
  end

  test "a name that a query gives twice has a number the second time" do
    circuit = circuit()
    step!(circuit, [project(1, 5), todo(9)])

    sql = "SELECT t.id, p.*, 1 AS id_1, p.id FROM todos t JOIN projects p ON p.id = t.project_id"
    [%{id: id, record: record}] = view!(circuit, 1, sql).records
    assert id == [9, 1]

    assert record == %{
             "id" => 9,
             "id_2" => 1,
             "owner_id" => 5,
             "name" => "p1",
             "id_1" => 1,
             "id_3" => 1
           }

    {:ok, columns} = Circuit.columns(circuit, 1)
    assert Enum.map(columns, &elem(&1, 0)) == ~w(id id_2 owner_id name id_1 id_3)
  end

  test "a view that raises for a row that is there is refused by its name" do
    circuit = circuit()
    step!(circuit, [todo(0)])

    assert {:error, %Error{code: :raised, sqlstate: "22012", message: message}} =
             Circuit.register(circuit, "divides", "SELECT id FROM todos WHERE 1 / id > 0")

    assert message =~ ~s("divides")
    assert Circuit.views(circuit) == {:ok, []}
    assert {:ok, %{nodes: 0}} = Circuit.stats(circuit)
  end

  test "a query that is refused says where" do
    circuit = circuit()

    for {sql, code, position} <- [
          {"SELECT id FROM", :syntax_error, 14},
          {"SELECT id FROM nowhere", :unknown_table, 15},
          {"SELECT nothing FROM todos", :unknown_column, 7},
          {"SELECT id FROM todos WHERE random() > 0.5", :volatile_function, 27},
          {"SELECT t.id FROM todos t, projects t", :duplicate_name, 26},
          {"DELETE FROM todos", :not_supported, 0}
        ] do
      assert {:error, %Error{} = error} = Circuit.register(circuit, 1, sql)
      assert {error.code, error.position} == {code, position}, "#{sql}: #{inspect(error)}"
    end

    assert Circuit.views(circuit) == {:ok, []}
  end

  test "tables that contradict themselves are refused by name" do
    column = [columns: [id: :int8], primary_key: [:id]]

    for {tables, code, says} <- [
          {[t: [columns: [id: :int8]]], :invalid_table, "t: it has no primary key"},
          {[t: [columns: [id: :int8], primary_key: [:no]]], :invalid_table, "no"},
          {[t: [columns: [id: :int8], primary_key: [:id, :id]]], :invalid_table, "twice"},
          {[t: [columns: [id: :int8, id: :int8], primary_key: [:id]]], :invalid_schema, "id"},
          {[t: [columns: [id: :no_type], primary_key: [:id]]], :unknown_type, "table t"},
          {[t: [primary_key: [:id]]], :invalid_argument, "table t: its columns are missing"},
          {[t: [columns: 5, primary_key: [:id]]], :invalid_argument, "table t"},
          {[t: [columns: [id: :int8], key: [:id]]], :invalid_argument, "[:key]"},
          {[t: column, t: column], :duplicate_table, "t"},
          {[{:t, column}, {"public.t", column}], :duplicate_table, "t"},
          {[{nil, column}], :invalid_argument, "nil"},
          {[{<<255>>, column}], :invalid_argument, "UTF-8"},
          {[:t], :invalid_argument, "tables"},
          {[{:t, column} | :improper], :invalid_argument, "tables"},
          {5, :invalid_argument, "5"}
        ] do
      assert {:error, %Error{} = error} = Circuit.new(tables: tables)
      assert {error.code, error.message =~ says} == {code, true}, inspect({tables, error})
    end

    assert {:error, %Error{code: :invalid_argument}} = Circuit.new(table: [])
    assert {:error, %Error{}} = Circuit.new(tables: [], time_zone: "Nowhere/City")
    assert {:ok, empty} = Circuit.new(tables: [])
    assert Circuit.step(empty, ShapeRouter.IngestBatch.new()) == {:ok, []}
  end

  test "the time zone is that of the queries" do
    columns = [id: :int8, at: :timestamptz]
    tables = [t: [columns: columns, primary_key: [:id]]]
    {:ok, circuit} = Circuit.new(tables: tables, time_zone: "Asia/Tokyo")
    step!(circuit, [{:create, :t, 1, %{at: "2026-01-01 20:00:00+00"}}])

    assert [%{record: %{"day" => "2026-01-02"}}] =
             view!(circuit, 1, "SELECT at::date AS day FROM t").records
  end

  test "names of tables with their schema" do
    tables = [
      {"public.t", [columns: [id: :int8], primary_key: ["id"]]},
      {"other.t", [columns: [id: :int8], primary_key: ["id"]]}
    ]

    {:ok, circuit} = Circuit.new(tables: tables)
    view!(circuit, :ours, "SELECT id FROM t")
    view!(circuit, :other, "SELECT id FROM other.t")
    assert [%{view_id: :ours}] = step!(circuit, [{:create, :t, 1, %{}}])
    assert [%{view_id: :ours}] = step!(circuit, [{:create, "public.t", 2, %{}}])
    assert [%{view_id: :other}] = step!(circuit, [{:create, "other.t", 1, %{}}])
    # One table under both names.
    operations = [{:create, "t", 3, %{}}, {:update, "public.t", 3, %{id: 4}}]
    assert [%{view_id: :ours, ids: [1, 2, 4]}] = step!(circuit, operations)
  end
end
