defmodule ShapeRouter.Circuit.HostileTest do
  @moduledoc "Batches that are large or odd, and steps that would hold a scheduler."
  use ExUnit.Case, async: true

  import ShapeRouter.TestCircuits

  alias ShapeRouter.{Circuit, IngestBatch}

  @moduletag timeout: :timer.minutes(2)

  defp figures(circuit) do
    {:ok, stats} = Circuit.stats(circuit)
    {stats.steps, stats.dirty_steps}
  end

  test "a hundred thousand updates of one row are one change" do
    circuit = circuit()
    view!(circuit, 1, "SELECT title FROM todos")

    batch =
      Enum.reduce(1..100_000, batch([todo(1)]), fn n, batch ->
        IngestBatch.update(batch, :todos, 1, %{title: "t#{n}", project_id: n})
      end)

    assert {:ok, [update]} = Circuit.step(circuit, batch)
    assert update.records == [%{event: :created, id: 1, record: %{"title" => "t100000"}}]
    assert IngestBatch.size(batch) == 100_001
  end

  test "cascading deletes" do
    circuit = circuit()
    projects = for id <- 1..50, do: project(id, rem(id, 5))
    todos = for id <- 1..2_000, do: todo(id, %{project_id: rem(id, 50) + 1})
    tags = for id <- 1..2_000, do: {:create, :tags, [id, "x"], %{}}

    view!(circuit, :tags, """
    SELECT g.tag FROM tags g JOIN todos t ON t.id = g.todo_id JOIN projects p ON p.id = t.project_id
    WHERE p.owner_id IN (1, 2)
    """)

    view!(circuit, :orphans, """
    SELECT id FROM todos t WHERE NOT EXISTS (SELECT 1 FROM projects p WHERE p.id = t.project_id)
    """)

    [%{view_id: :tags, records: records}] = step!(circuit, projects ++ todos ++ tags)
    assert length(records) == 800

    # From the top, with orphans in between that nobody sees.
    gone = for id <- 1..50, rem(id, 5) == 1, do: id
    deleted_todos = for id <- 1..2_000, (rem(id, 50) + 1) in gone, do: id

    deletes =
      for(id <- gone, do: {:delete, :projects, id}) ++
        for(id <- deleted_todos, do: {:delete, :todos, id}) ++
        for id <- deleted_todos, do: {:delete, :tags, [id, "x"]}

    [update] = step!(circuit, deletes)
    assert update.view_id == :tags
    assert Enum.all?(update.records, &(&1.event == :deleted)) and length(update.records) == 400
    # Only the projects: the todos are orphans.
    [tags, orphans] =
      step!(circuit, for(id <- 1..50, rem(id, 5) == 2, do: {:delete, :projects, id}))

    assert {tags.view_id, tags.ids, length(tags.records)} == {:tags, [], 400}
    assert {orphans.view_id, length(orphans.records)} == {:orphans, 400}
    everything = for(id <- 1..2_000, id not in deleted_todos, do: {:delete, :todos, id})
    [%{view_id: :orphans, ids: []}] = step!(circuit, everything)
  end

  test "keys that move round and come home change nothing" do
    circuit = circuit()
    count = 1_000
    step!(circuit, for(id <- 1..count, do: todo(id)))
    view!(circuit, 1, "SELECT * FROM todos")
    hash = Circuit.hash(circuit, 1)
    move = fn from, to -> {:update, :todos, from, %{id: to}} end
    up = [move.(1, 0) | for(id <- 2..count, do: move.(id, id - 1))] ++ [move.(0, count)]
    [%{records: records}] = step!(circuit, up)
    assert length(records) == count and Enum.all?(records, &(&1.event == :updated))
    back = for {:update, :todos, from, %{id: to}} <- Enum.reverse(up), do: move.(to, from)
    assert [_] = step!(circuit, back)
    assert Circuit.hash(circuit, 1) == hash
    assert step!(circuit, up ++ back) == []
  end

  test "one row is done on the scheduler, a row that joins thousands is not" do
    circuit = circuit()
    sql = "SELECT t.id, p.name FROM todos t JOIN projects p ON p.id = t.project_id"
    view!(circuit, 1, sql)
    step!(circuit, for(id <- 1..5_000, do: todo(id)))
    assert figures(circuit) == {1, 1}
    step!(circuit, [todo(6_000, %{project_id: 2})])
    step!(circuit, [project(2, 1)])
    assert figures(circuit) == {3, 1}
    assert [%{ids: nil, records: records}] = step!(circuit, [project(1, 1)])
    assert length(records) == 5_000
    assert figures(circuit) == {4, 2}
  end

  test "nor are large values, and expressions that run long" do
    circuit = circuit()
    view!(circuit, 1, "SELECT id FROM todos WHERE length(repeat('ab', project_id::int4)) > 4")
    large = String.duplicate("x", 1_000_000)
    step!(circuit, [todo(1, %{title: large})])
    assert figures(circuit) == {1, 1}
    step!(circuit, [todo(2, %{project_id: 10_000_000})])
    assert figures(circuit) == {2, 2}
    step!(circuit, [todo(3)])
    step!(circuit, [todo(4)])
    assert figures(circuit) == {4, 3}
    deep = Enum.reduce(1..1_000, 1, fn _, inner -> [inner] end)
    json = circuit(id: :int8, v: :jsonb)
    step!(json, [{:create, :t, 1, %{v: deep}}])
    assert figures(json) == {1, 1}
  end

  test "nor are many views of one row" do
    circuit = circuit()
    for id <- 1..2_000, do: view!(circuit, id, "SELECT * FROM todos WHERE id <> #{-id}", ids: 0)
    assert [_ | _] = updates = step!(circuit, [todo(1)])
    assert length(updates) == 2_000
    assert figures(circuit) == {1, 1}
    for id <- 11..2_000, do: :ok = Circuit.unregister(circuit, id)
    # After a step that was too much the next one is not tried; then they are again.
    assert length(step!(circuit, [todo(2)])) == 10
    assert figures(circuit) == {2, 2}
    for id <- 3..10, do: assert(length(step!(circuit, [todo(id)])) == 10)
    assert figures(circuit) == {10, 2}
  end

  test "long texts and names" do
    circuit = circuit()
    long = String.duplicate("é", 10_000)
    assert view!(circuit, long, "SELECT id FROM todos").view_id == long
    assert [%{view_id: ^long}] = step!(circuit, [todo(1)])
    assert {:error, error} = Circuit.register(circuit, long, "SELECT id FROM todos")
    assert error.code == :duplicate_view

    for sql <- [String.duplicate("(", 100_000), "SELECT " <> String.duplicate("-", 300_000)] do
      assert {:error, %{code: code}} = Circuit.register(circuit, 1, sql)
      assert code in [:too_long, :too_deep, :syntax_error, :not_supported]
    end
  end
end
