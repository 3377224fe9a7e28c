defmodule ShapeRouter.Subquery.PostgresTest do
  # Random transactions over inner and outer tables; after each of them what every shape holds, as a client
  # keeps it by the answers, is what PostgreSQL selects. Some transactions are routed twice.
  use ExUnit.Case

  alias ShapeRouter.Demo.Server
  alias ShapeRouter.Subqueries

  @moduletag timeout: 120_000

  @projects [columns: [id: :int8, owner: :int4, team: :int8], primary_key: [:id]]
  @teams [columns: [id: :int8, open: :bool], primary_key: [:id]]
  @todos [columns: [id: :int8, project: :int8, team: :int8, parent: :int8], primary_key: [:id]]

  @mine "SELECT id FROM projects WHERE owner = 1"
  @open "SELECT id FROM projects WHERE team IN (SELECT id FROM teams WHERE open)"
  @pairs "SELECT id, team FROM projects WHERE owner <> 2"

  # Those that the circuit keeps as views as well.
  @materialized [
    {1, "project IN (#{@mine})"},
    {2, "project NOT IN (#{@mine})"},
    {3, "project IN (#{@open}) AND team = 1"},
    {4, "team IN (SELECT team FROM projects WHERE owner = 1)"},
    {5, "team NOT IN (SELECT team FROM projects WHERE owner = 1)"},
    {6, "(project, team) IN (#{@pairs})"},
    {7, "parent IN (SELECT id FROM todos WHERE team = 2)"}
  ]

  # Those whose rows a host would ask for: by their left sides, and what the clause says of a row.
  defp asked do
    [
      {11, "project IN (#{@mine}) OR team = 1", [["project"]],
       &or3([in3(&1, ["project"], mine(&2)), eq3(&1["team"], 1)])},
      {12, "NOT (project IN (#{@mine}) AND team IN (SELECT team FROM projects WHERE owner = 1))",
       [["project"], ["team"]],
       &not3(and3([in3(&1, ["project"], mine(&2)), in3(&1, ["team"], teams(&2))]))},
      {13, "(project, team) NOT IN (#{@pairs})", [["project", "team"]],
       &not3(in3(&1, ["project", "team"], pairs(&2)))},
      {14, "team <> ALL (SELECT team FROM projects WHERE owner = 1) AND project > 1", [["team"]],
       &and3([not3(in3(&1, ["team"], teams(&2))), gt3(&1["project"], 1)])},
      {15, "(project IN (#{@mine})) IS NOT TRUE", [["project"]],
       &(in3(&1, ["project"], mine(&2)) != true)}
    ]
  end

  defp mine(world), do: for({id, %{"owner" => 1}} <- world["projects"], do: [id])

  defp teams(world),
    do: for({_id, %{"owner" => 1, "team" => team}} <- world["projects"], do: [team])

  defp pairs(world) do
    for {id, %{"owner" => owner, "team" => team}} <- world["projects"],
        owner != nil and owner != 2,
        do: [id, team]
  end

  defp in3(row, columns, set) do
    left = Enum.map(columns, &row[&1])
    or3(Enum.map(set, fn item -> and3(Enum.zip_with(left, item, &eq3/2)) end))
  end

  defp eq3(a, b), do: if(a == nil or b == nil, do: nil, else: a == b)
  defp gt3(a, b), do: if(a == nil, do: nil, else: a > b)
  defp not3(nil), do: nil
  defp not3(b), do: not b
  defp or3(list), do: if(true in list, do: true, else: if(nil in list, do: nil, else: false))
  defp and3(list), do: if(false in list, do: false, else: if(nil in list, do: nil, else: true))

  setup_all do
    %{server: ShapeRouter.PostgresServer.start()}
  end

  for seed <- 1..4 do
    test("random transactions, seed #{seed}", %{server: server},
      do: run(server, unquote(seed), 120)
    )
  end

  @tag :long
  @tag timeout: :timer.hours(1)
  test "many random transactions", %{server: server} do
    for seed <- 101..110, do: run(server, seed, 2_000)
  end

  defp run(server, seed, count) do
    :rand.seed(:exsss, seed)
    {:ok, router} = ShapeRouter.new("tenant", "todos", @todos)
    tables = [projects: @projects, teams: @teams, todos: @todos]
    {:ok, subqueries} = Subqueries.start_link(tables: tables, routers: [todos: router])

    for {id, where} <- @materialized do
      opts = [materialize: true]
      assert {:ok, []} = Subqueries.add_shape(subqueries, :todos, id, where, :unknown, opts)
    end

    for {id, where, _lefts, _says} <- asked(),
        do: assert(:ok = Subqueries.add_shape(subqueries, :todos, id, where))

    clauses = Map.new(@materialized ++ Enum.map(asked(), fn {id, where, _, _} -> {id, where} end))
    world = %{"projects" => %{}, "teams" => %{}, "todos" => %{}}
    held = Map.new(clauses, fn {id, _where} -> {id, MapSet.new()} end)

    {script, expected, _world, _held} =
      Enum.reduce(1..count, {[], [], world, held}, fn number, {script, expected, world, held} ->
        {steps, world} = transaction(world)
        changes = Enum.map(steps, &elem(&1, 0))
        answers = Subqueries.route_txn(subqueries, number, changes)
        assert is_list(answers), inspect(answers)

        if :rand.uniform(3) == 1 do
          again = Subqueries.route_txn(subqueries, number, changes)

          where = {seed, number, changes}
          assert {where, normal(again)} == {where, normal(answers)}
        end

        if :rand.uniform(2) == 1, do: :ok = Subqueries.ack(subqueries, number)
        held = Enum.zip_reduce(steps, answers, held, &hold/3)

        sql = [
          "BEGIN;\n",
          Enum.map(steps, &elem(&1, 1)),
          "COMMIT;\n",
          Enum.map(clauses, &select/1)
        ]

        {[script, sql], [expected, Enum.map(clauses, fn {id, _} -> {number, id, held[id]} end)],
         world, held}
      end)

    :ok = Subqueries.ack(subqueries, count)

    create = """
    DROP TABLE IF EXISTS projects, teams, todos;
    CREATE TABLE projects (id int8 PRIMARY KEY, owner int4, team int8);
    CREATE TABLE teams (id int8 PRIMARY KEY, open bool);
    CREATE TABLE todos (id int8 PRIMARY KEY, project int8, team int8, parent int8);
    """

    lines = server |> Server.psql!([create, script]) |> String.split("\n", trim: true)
    expected = List.flatten(expected)
    assert length(lines) == length(expected)

    for {line, {number, id, ids}} <- Enum.zip(lines, expected) do
      assert line == "#{id}:" <> Enum.map_join(Enum.sort(ids), ",", &to_string/1),
             "seed #{seed}, transaction #{number}, shape #{id}: #{clauses[id]}"
    end

    for {id, _where} <- clauses, do: :ok = Subqueries.remove_shape(subqueries, :todos, id)
    assert ShapeRouter.ValueSet.list(router) == []
  end

  # The lists of moves have no order among the values.
  defp normal(answers) do
    for answer <- answers, {name, list} <- answer do
      {name,
       Enum.map(list, fn
         {kind, id, values} when is_list(values) ->
           {kind, id, Enum.sort(values)}

         {kind, id, values, rows} ->
           {kind, id, is_list(values) && Enum.sort(values), Enum.sort(rows)}

         other ->
           other
       end)}
    end
  end

  defp select({id, where}) do
    "SELECT '#{id}:' || coalesce(string_agg(id::text, ',' ORDER BY id), '') FROM todos WHERE #{where};\n"
  end

  # What a client keeps.
  defp hold({change, _sql, world}, answer, held) do
    for {"todos", list} <- answer, item <- list, reduce: held do
      held -> Map.update!(held, shape(item), &keep(item, &1, {world, change}))
    end
  end

  defp shape({kind, id, _values}) when kind in [:move_in, :move_out], do: id
  defp shape({_kind, id, _values, _rows}), do: id
  defp shape({id, _op}), do: id

  defp keep({_id, :delete}, ids, {_world, change}),
    do: MapSet.delete(ids, change.old_record["id"])

  defp keep({_id, op}, ids, {_world, change}) when op in [:insert, :update, :rekey] do
    old = if op == :rekey, do: change.old_record["id"]
    ids |> MapSet.delete(old) |> MapSet.put(change.new_record["id"])
  end

  defp keep({:move_in, _id, _values, rows}, ids, _world),
    do: Enum.reduce(rows, ids, fn {id, _row}, ids -> MapSet.put(ids, id) end)

  defp keep({:move_out, _id, _values, rows}, ids, _world),
    do: Enum.reduce(rows, ids, fn {id, _row}, ids -> MapSet.delete(ids, id) end)

  # A host asks again for the rows that the move names, and for no others.
  defp keep({_kind, id, values}, ids, {world, _change}) do
    {^id, _where, lefts, says} = Enum.find(asked(), &(elem(&1, 0) == id))

    for {key, row} <- world["todos"], named?(row, lefts, values), reduce: ids do
      ids -> if says.(row, world) == true, do: MapSet.put(ids, key), else: MapSet.delete(ids, key)
    end
  end

  defp named?(_row, _lefts, :all), do: true

  defp named?(row, lefts, values) do
    Enum.any?(lefts, fn
      [one] -> row[one] in values
      several -> Enum.map(several, &row[&1]) in values
    end)
  end

  # Random changes: each with its SQL, and the world after it.
  defp transaction(world) do
    Enum.map_reduce(1..:rand.uniform(5), world, fn _, world ->
      {change, sql, world} = change(world)
      {{change, sql, world}, world}
    end)
    |> then(fn {steps, world} ->
      {Enum.reject(steps, &(elem(&1, 0) == nil)), world}
    end)
  end

  defp change(world) do
    table = Enum.random(~w(projects projects projects teams todos todos todos))
    rows = world[table]
    id = :rand.uniform(if table == "todos", do: 12, else: 5)
    record = record(table, id)

    case {rows[id], :rand.uniform(4)} do
      {nil, _} ->
        put(world, table, nil, record)

      {old, 1} ->
        put(world, table, old, nil)

      {old, 2} ->
        # A key may change.
        other = :rand.uniform(12)
        record = if is_map_key(rows, other), do: record, else: %{record | "id" => other}
        put(world, table, old, record)

      {old, _} ->
        put(world, table, old, record)
    end
  end

  defp value(most), do: if(:rand.uniform(6) == 1, do: nil, else: :rand.uniform(most))
  defp record("projects", id), do: %{"id" => id, "owner" => value(3), "team" => value(3)}
  defp record("teams", id), do: %{"id" => id, "open" => Enum.random([true, false, nil])}

  defp record("todos", id),
    do: %{"id" => id, "project" => value(5), "team" => value(3), "parent" => value(12)}

  defp put(world, table, old, new) do
    rows = if old, do: Map.delete(world[table], old["id"]), else: world[table]
    rows = if new, do: Map.put(rows, new["id"], new), else: rows

    {change, sql} =
      case {old, new} do
        {nil, new} ->
          {%{op: :insert, new_record: new}, ["INSERT INTO ", table, " ", values(new)]}

        {old, nil} ->
          {%{op: :delete, old_record: old}, ["DELETE FROM ", table, where(old)]}

        _ ->
          sets = Enum.map_join(new, ", ", fn {name, value} -> "#{name} = #{literal(value)}" end)

          {%{op: :update, old_record: old, new_record: new},
           ["UPDATE ", table, " SET ", sets, where(old)]}
      end

    {Map.put(change, :table, table), [sql, ";\n"], %{world | table => rows}}
  end

  defp where(row), do: " WHERE id = #{row["id"]}"

  defp values(row) do
    {names, values} = Enum.unzip(row)
    "(#{Enum.join(names, ", ")}) VALUES (#{Enum.map_join(values, ", ", &literal/1)})"
  end

  defp literal(nil), do: "NULL"
  defp literal(value), do: to_string(value)
end
