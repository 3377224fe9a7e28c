defmodule ShapeRouter.Circuit.TreeTest do
  @moduledoc "Trees: rows with the rows that hang on them."
  use ExUnit.Case, async: true

  import ShapeRouter.TestCircuits

  alias ShapeRouter.{Circuit, Error}

  @projects """
  SELECT id, name, ARRAY(SELECT id, title FROM todos t WHERE t.project_id = p.id) AS todos
  FROM projects p WHERE owner_id < 3
  """

  @deep """
  SELECT name, ARRAY(
    SELECT id, title, ARRAY(SELECT tag FROM tags g WHERE g.todo_id = t.id ORDER BY tag DESC) AS tags
    FROM todos t WHERE t.project_id = p.id AND done IS NOT TRUE ORDER BY title DESC
  ) AS todos
  FROM projects p WHERE owner_id < 3
  """

  @top """
  SELECT p.id, ARRAY(SELECT title FROM todos t WHERE t.project_id = p.id ORDER BY title LIMIT 2) AS first,
    name, ARRAY(SELECT id FROM todos t WHERE t.project_id = p.id AND t.done) AS done
  FROM projects p ORDER BY owner_id, p.id
  """

  defp tree!(circuit, id, sql, opts \\ []), do: view!(circuit, id, sql, [format: :tree] ++ opts)

  # What a client does with an update: rows by id, their branches the same.
  defp applied(rows, records, columns) do
    branches = for {name, columns} when is_list(columns) <- columns, do: {name, columns}

    Enum.reduce(records, rows, fn
      %{event: :deleted, id: id}, rows ->
        assert is_map_key(rows, id)
        Map.delete(rows, id)

      %{event: event, id: id, record: record}, rows ->
        assert is_map_key(rows, id) == (event == :updated)
        old = Map.get(rows, id, %{})

        row =
          for {name, columns} <- branches, reduce: record do
            row -> Map.put(row, name, applied(Map.get(old, name, %{}), record[name], columns))
          end

        Map.put(rows, id, row)
    end)
  end

  # Rows as `rows/2` has them, but by id.
  defp by_id(rows), do: Map.new(rows, fn {id, row} -> {id, Map.new(row, &branch_by_id/1)} end)
  defp branch_by_id({name, rows}) when is_list(rows), do: {name, by_id(rows)}
  defp branch_by_id(value), do: value

  defp loaded do
    circuit = circuit()
    step!(circuit, [project(1, 1), project(2, 2), todo(1), todo(2), todo(3, %{project_id: 2})])
    circuit
  end

  test "a tree begins with its rows and all that hangs on them" do
    circuit = loaded()
    update = tree!(circuit, 1, @projects)
    assert %{view_id: 1, format: :tree, ids: [1, 2]} = update

    child = fn id -> %{event: :created, id: id, record: %{"id" => id, "title" => "t#{id}"}} end

    assert update.records == [
             %{
               event: :created,
               id: 1,
               record: %{"id" => 1, "name" => "p1", "todos" => [child.(1), child.(2)]}
             },
             %{
               event: :created,
               id: 2,
               record: %{"id" => 2, "name" => "p2", "todos" => [child.(3)]}
             }
           ]

    assert Circuit.hash(circuit, 1) == {:ok, update.hash}
    assert Circuit.ids(circuit, 1) == {:ok, [1, 2]}

    assert Circuit.columns(circuit, 1) ==
             {:ok,
              [
                {"id", "bigint"},
                {"name", "text"},
                {"todos", [{"id", "bigint"}, {"title", "text"}]}
              ]}

    row = fn id -> {id, %{"id" => id, "title" => "t#{id}"}} end

    assert Circuit.rows(circuit, 1) ==
             {:ok,
              [
                {1, %{"id" => 1, "name" => "p1", "todos" => [row.(1), row.(2)]}},
                {2, %{"id" => 2, "name" => "p2", "todos" => [row.(3)]}}
              ]}
  end

  test "rows below that come, change, go and move in one batch are told under their rows" do
    circuit = loaded()
    tree!(circuit, 1, @projects)

    [update] =
      step!(circuit, [
        {:update, "todos", 1, %{title: "new"}},
        {:update, "todos", 2, %{project_id: 2}},
        {:delete, "todos", 3},
        todo(4)
      ])

    record = fn event, id, title ->
      %{event: event, id: id, record: %{"id" => id, "title" => title}}
    end

    assert update.records == [
             %{
               event: :updated,
               id: 1,
               record: %{
                 "id" => 1,
                 "name" => "p1",
                 "todos" => [
                   record.(:updated, 1, "new"),
                   record.(:deleted, 2, "t2"),
                   record.(:created, 4, "t4")
                 ]
               }
             },
             %{
               event: :updated,
               id: 2,
               record: %{
                 "id" => 2,
                 "name" => "p2",
                 "todos" => [record.(:created, 2, "t2"), record.(:deleted, 3, "t3")]
               }
             }
           ]

    assert update.ids == [1, 2]
    # Only itself: nothing of what hangs on it is told.
    [update] = step!(circuit, [{:update, "projects", 1, %{name: "n"}}])
    row = %{"id" => 1, "name" => "n", "todos" => []}
    assert update.records == [%{event: :updated, id: 1, record: row}]
    # What hangs on no row that is shown is nobody's business.
    assert step!(circuit, [todo(9, %{project_id: 8}), todo(10, %{project_id: nil})]) == []
  end

  test "a row that goes takes what hangs on it with it, and brings it back with the same hash" do
    circuit = loaded()
    %{hash: hash} = tree!(circuit, 1, @projects)
    [update] = step!(circuit, [{:update, "projects", 1, %{owner_id: 7}}])

    assert update.records == [
             %{event: :deleted, id: 1, record: %{"id" => 1, "name" => "p1", "todos" => []}}
           ]

    assert update.ids == [2]
    assert update.hash != hash
    [update] = step!(circuit, [{:update, "projects", 1, %{owner_id: 1}}])
    assert [%{event: :created, id: 1, record: %{"todos" => [_, _]}}] = update.records
    assert update.hash == hash
  end

  test "two levels are told, and kept in their orders" do
    circuit = loaded()
    tree!(circuit, "deep", @deep)
    [update] = step!(circuit, [{:create, :tags, [2, "a"], %{}}, {:create, :tags, [2, "b"], %{}}])

    tag = fn tag -> %{event: :created, id: [2, tag], record: %{"tag" => tag}} end
    todo = %{"id" => 2, "title" => "t2", "tags" => [tag.("a"), tag.("b")]}
    todos = [%{event: :updated, id: 2, record: todo}]

    assert update.records == [
             %{event: :updated, id: 1, record: %{"name" => "p1", "todos" => todos}}
           ]

    # By title, backwards; and the tags backwards too.
    tags = [{[2, "b"], %{"tag" => "b"}}, {[2, "a"], %{"tag" => "a"}}]

    todos = [
      {2, %{"id" => 2, "title" => "t2", "tags" => tags}},
      {1, %{"id" => 1, "title" => "t1", "tags" => []}}
    ]

    assert {:ok, [{1, %{"name" => "p1", "todos" => ^todos}}, _]} = Circuit.rows(circuit, "deep")
  end

  test "LIMIT counts the rows that hang on one row" do
    circuit = loaded()
    tree!(circuit, 1, @top)
    [update] = step!(circuit, [todo(5, %{title: "a"}), todo(6, %{project_id: 2})])
    [first, second] = update.records

    assert for(child <- first.record["first"], do: {child.event, child.id}) ==
             [deleted: 2, created: 5]

    assert for(child <- second.record["first"], do: {child.event, child.id}) == [created: 6]
    assert first.record["done"] == []
    # The first of what was left out takes the place of what went.
    [update] = step!(circuit, [{:delete, "todos", 5}])
    assert [%{record: %{"first" => children}}] = update.records
    assert for(child <- children, do: {child.event, child.id}) == [created: 2, deleted: 5]
  end

  test "names are told apart, branches' too" do
    circuit = loaded()

    tree!(circuit, 1, """
    SELECT id AS x, ARRAY(SELECT id FROM todos t WHERE t.project_id = p.id) AS x, name AS x FROM projects p
    """)

    assert Circuit.columns(circuit, 1) ==
             {:ok, [{"x", "bigint"}, {"x_1", "text"}, {"x_2", [{"id", "bigint"}]}]}

    assert {:ok, [{1, %{"x" => 1, "x_1" => "p1", "x_2" => [{1, %{"id" => 1}}, _]}}, _]} =
             Circuit.rows(circuit, 1)
  end

  test "what is no tree is refused where it stands" do
    circuit = loaded()
    query = "SELECT id, ARRAY(SELECT id FROM todos t WHERE t.project_id < p.id) FROM projects p"
    assert {:error, %Error{} = error} = Circuit.register(circuit, 1, query, format: :tree)
    assert is_integer(error.position)
    assert {:error, %Error{message: message}} = Circuit.register(circuit, 1, @projects)
    assert message =~ "tree"
    assert {:error, %Error{message: message}} = Circuit.register(circuit, 1, "x", format: :bush)
    assert message =~ ":tree"
    assert Circuit.views(circuit) == {:ok, []}
    # A query without branches is a tree of one level.
    assert %{records: [%{record: %{"id" => 1}} | _]} =
             tree!(circuit, 1, "SELECT id FROM projects")
  end

  test "many rows that hang on one come off the scheduler as well" do
    circuit = circuit()
    tree!(circuit, 1, @projects)
    step!(circuit, [project(1, 1) | for(id <- 1..2_000, do: todo(id))])
    assert {:ok, [{1, %{"todos" => todos}}]} = Circuit.rows(circuit, 1)
    assert length(todos) == 2_000
    [update] = step!(circuit, [{:update, "projects", 1, %{owner_id: 9}}])
    assert [%{event: :deleted}] = update.records
    [update] = step!(circuit, [{:update, "projects", 1, %{owner_id: 2}}])
    assert [%{event: :created, record: %{"todos" => todos}}] = update.records
    assert length(todos) == 2_000
  end

  @tag :tmp_dir
  test "comes back from a snapshot", %{tmp_dir: directory} do
    circuit = loaded()
    for {id, sql} <- [projects: @projects, deep: @deep, top: @top], do: tree!(circuit, id, sql)
    before = seen(circuit)
    assert Circuit.snapshot(circuit, directory) == :ok
    assert {:ok, restored} = Circuit.restore(directory)
    assert seen(restored) == before
    batch = [{:update, "todos", 1, %{project_id: 2, title: "moved"}}]
    assert step!(restored, batch) == step!(circuit, batch)
    assert seen(restored) == seen(circuit)
  end

  # The same views over plain maps, as `rows/2` has them.
  defp model(:projects, tables) do
    for {id, p} <- Enum.sort(tables.projects), p.owner_id < 3 do
      todos = for {t, todo} <- below(tables, id), do: {t, %{"id" => t, "title" => todo.title}}
      {id, %{"id" => id, "name" => p.name, "todos" => todos}}
    end
  end

  defp model(:deep, tables) do
    for {id, p} <- Enum.sort(tables.projects), p.owner_id < 3 do
      todos = for {t, todo} <- below(tables, id), todo.done != true, do: {t, todo}
      # NULL is the greatest; of equal titles the lower id is first.
      todos = Enum.sort_by(todos, fn {_, todo} -> {todo.title == nil, todo.title} end, :desc)

      todos =
        for {t, todo} <- todos do
          tags = for [^t, tag] = id <- tables.tags, do: {id, %{"tag" => tag}}
          {t, %{"id" => t, "title" => todo.title, "tags" => Enum.sort(tags, :desc)}}
        end

      {id, %{"name" => p.name, "todos" => todos}}
    end
  end

  defp model(:top, tables) do
    for {id, p} <- Enum.sort_by(tables.projects, fn {id, p} -> {p.owner_id, id} end) do
      todos = below(tables, id)
      first = Enum.sort_by(todos, fn {_, todo} -> {todo.title == nil, todo.title} end)
      first = for {t, todo} <- Enum.take(first, 2), do: {t, %{"title" => todo.title}}
      done = for {t, %{done: true}} <- todos, do: {t, %{"id" => t}}
      {id, %{"id" => id, "name" => p.name, "first" => first, "done" => done}}
    end
  end

  defp below(tables, id),
    do: Enum.sort(for {t, %{project_id: ^id} = todo} <- tables.todos, do: {t, todo})

  defp pick(list), do: Enum.random(list)

  defp random_todo do
    %{
      project_id: pick([nil, 1, 2, 3, 4]),
      title: pick([nil, "", "a", "b"]),
      done: pick([nil, true, false])
    }
  end

  # An operation that these tables take, and the tables after it.
  defp operation(tables) do
    id = pick(1..8)

    case {pick(1..5), tables} do
      {1, %{projects: %{^id => _}}} when id < 3 ->
        {{:delete, "projects", id}, update_in(tables.projects, &Map.delete(&1, id))}

      {n, %{projects: %{^id => p}}} when n in 1..2 ->
        owner = pick(1..4)

        {{:update, "projects", id, %{owner_id: owner}},
         put_in(tables.projects[id], %{p | owner_id: owner})}

      {n, _} when n in 1..2 and id < 5 ->
        project = %{owner_id: pick(1..4), name: pick(["x", "y"])}
        {{:create, "projects", id, project}, put_in(tables.projects[id], project)}

      {3, _} ->
        tag = [id, pick(["a", "b", "c"])]

        if tag in tables.tags,
          do: {{:delete, "tags", tag}, update_in(tables.tags, &List.delete(&1, tag))},
          else: {{:create, "tags", tag, %{}}, update_in(tables.tags, &[tag | &1])}

      {4, %{todos: %{^id => _}}} ->
        {{:delete, "todos", id}, update_in(tables.todos, &Map.delete(&1, id))}

      {_, %{todos: %{^id => todo}}} ->
        changes = random_todo() |> Map.take(Enum.take_random([:project_id, :title, :done], 2))

        {{:update, "todos", id, changes}, put_in(tables.todos[id], Map.merge(todo, changes))}

      {_, _} ->
        todo = random_todo()
        {{:create, "todos", id, todo}, put_in(tables.todos[id], todo)}
    end
  end

  for seed <- 1..6 do
    test "random batches beside a model that nests by brute force, seed #{seed}" do
      :rand.seed(:exsss, {unquote(seed), 23, 2026})
      circuit = circuit()

      views =
        for {id, sql} <- [projects: @projects, deep: @deep, top: @top] do
          tree!(circuit, id, sql)
          {:ok, columns} = Circuit.columns(circuit, id)
          {id, columns}
        end

      tables = %{projects: %{}, todos: %{}, tags: []}
      start = {tables, Map.new(views, fn {id, _} -> {id, %{}} end), %{}}

      Enum.reduce(1..80, start, fn _, {tables, clients, hashes} ->
        {operations, now} = Enum.map_reduce(1..pick(1..8), tables, fn _, t -> operation(t) end)
        updates = Map.new(step!(circuit, operations), &{&1.view_id, &1})

        for {view, columns} <- views, reduce: {now, clients, hashes} do
          {now, clients, hashes} ->
            rows = model(view, now)
            assert Circuit.rows(circuit, view) == {:ok, rows}
            assert Circuit.ids(circuit, view) == {:ok, for({id, _} <- rows, do: id)}
            records = if update = updates[view], do: update.records, else: []
            client = applied(clients[view], records, columns)
            assert client == by_id(rows)
            # The place of a project among all is by its owner, who is not shown.
            if view != :top, do: assert(update != nil == (model(view, tables) != rows))
            {:ok, hash} = Circuit.hash(circuit, view)
            if update, do: assert(update.hash == hash)

            content =
              {view, rows, view == :top && for({id, p} <- now.projects, do: {id, p.owner_id})}

            assert Map.get(hashes, content, hash) == hash
            assert Map.get(hashes, {view, hash}, content) == content
            hashes = Map.merge(hashes, %{content => hash, {view, hash} => content})
            {now, Map.put(clients, view, client), hashes}
        end
      end)
    end
  end
end
