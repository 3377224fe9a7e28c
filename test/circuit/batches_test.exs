defmodule ShapeRouter.Circuit.BatchesTest do
  @moduledoc "What a batch's operations come to."
  use ExUnit.Case, async: true

  import ShapeRouter.TestCircuits

  alias ShapeRouter.{Circuit, IngestBatch}

  defp loaded do
    circuit = circuit()
    view!(circuit, :todos, "SELECT id, title, project_id FROM todos WHERE NOT done")

    view!(
      circuit,
      :owned,
      "SELECT t.id FROM todos t WHERE t.project_id IN (SELECT p.id FROM projects p WHERE p.owner_id = 5)"
    )

    step!(circuit, [project(1, 5), project(2, 6), todo(1), todo(2, %{project_id: 2})])
    circuit
  end

  test "mixed operations on one table" do
    circuit = loaded()

    [todos, owned] =
      step!(circuit, [
        todo(3),
        {:update, :todos, 1, %{title: "first"}},
        {:delete, :todos, 2},
        todo(4, %{done: true}),
        {:update, :todos, 3, %{title: "third"}},
        todo(5),
        {:delete, :todos, 5}
      ])

    assert events(todos) == [updated: 1, deleted: 2, created: 3]

    assert [%{record: %{"title" => "first"}}, _, %{record: %{"title" => "third"}}] = todos.records

    assert todos.ids == [1, 3]
    assert {owned.ids, events(owned)} == {[1, 3, 4], [created: 3, created: 4]}
  end

  test "mixed operations on several tables" do
    circuit = loaded()

    [todos, owned] =
      step!(circuit, [
        {:update, :projects, 1, %{owner_id: 6}},
        {:update, :todos, 1, %{project_id: 3}},
        project(3, 5),
        todo(3, %{project_id: 3}),
        {:update, "projects", 2, %{owner_id: 5}},
        {:create, :tags, [3, "new"], %{}},
        {:delete, :projects, 1}
      ])

    # Row 1 was in the view by one project and is in it by another.
    assert {owned.ids, events(owned)} == {[1, 2, 3], [created: 2, created: 3]}
    assert events(todos) == [updated: 1, created: 3]
    assert Circuit.row(circuit, :projects, 1) == {:ok, nil}
    assert {:ok, %{}} = Circuit.row(circuit, :tags, {3, "new"})
  end

  test "operations on one row compose in their order" do
    circuit = loaded()

    operations = [
      {:update, :todos, 1, %{title: "a"}},
      {:delete, :todos, 1},
      todo(1, %{title: "b"}),
      {:update, :todos, 1, %{project_id: 2}},
      {:update, :todos, 1, %{title: "c"}}
    ]

    [todos, owned] = step!(circuit, operations)

    assert todos.records == [
             %{
               event: :updated,
               id: 1,
               record: %{"id" => 1, "title" => "c", "project_id" => 2}
             }
           ]

    assert events(owned) == [deleted: 1]
  end

  test "an update that leaves a filtered view deletes the row from it, and one that comes creates it" do
    circuit = loaded()
    [update, _] = step!(circuit, [{:update, :todos, 1, %{done: true, project_id: 2}}])
    assert [%{event: :deleted, id: 1, record: %{"project_id" => 1}}] = update.records
    [update] = step!(circuit, [{:update, :todos, 1, %{done: false}}])
    assert [%{event: :created, id: 1, record: %{"project_id" => 2}}] = update.records
  end

  test "a deletion is told though the row is gone" do
    circuit = loaded()
    [todos, owned] = step!(circuit, [{:delete, :todos, 1}])
    assert [%{event: :deleted, id: 1, record: %{"title" => "t1"}}] = todos.records
    assert events(owned) == [deleted: 1]
  end

  test "a key that changes is a deletion and a creation" do
    circuit = loaded()
    [todos, owned] = step!(circuit, [{:update, :todos, 1, %{id: 10}}])
    assert events(todos) == [deleted: 1, created: 10]
    assert events(owned) == [deleted: 1, created: 10]
    assert Circuit.row(circuit, :todos, 1) == {:ok, nil}
    # It is known by its new key at once.
    operations = [{:update, :todos, 10, %{id: 11}}, {:update, :todos, 11, %{title: "x"}}]

    assert [%{records: [%{id: 10}, %{id: 11, record: %{"title" => "x"}}]}, _] =
             step!(circuit, operations)
  end

  test "two updates that swap in one batch" do
    circuit = loaded()

    [todos, owned] =
      step!(circuit, [
        {:update, :todos, 1, %{project_id: 2, title: "t2"}},
        {:update, :todos, 2, %{project_id: 1, title: "t1"}}
      ])

    assert for(r <- todos.records, do: {r.event, r.id, r.record["title"], r.record["project_id"]}) ==
             [{:updated, 1, "t2", 2}, {:updated, 2, "t1", 1}]

    assert {owned.ids, events(owned)} == {[2], [deleted: 1, created: 2]}
  end

  test "keys that swap by a third one" do
    circuit = loaded()

    [todos, owned] =
      step!(circuit, [
        {:update, :todos, 1, %{id: 99}},
        {:update, :todos, 2, %{id: 1}},
        {:update, :todos, 99, %{id: 2}}
      ])

    assert for(r <- todos.records, do: {r.event, r.id, r.record["title"]}) ==
             [{:updated, 1, "t2"}, {:updated, 2, "t1"}]

    assert owned.ids == [2]
  end

  test "an update leaves what it does not name" do
    circuit = loaded()
    step!(circuit, [{:update, :todos, 1, %{}}, {:update, :todos, 1, %{title: nil}}])

    assert {:ok, %{record: %{"title" => nil, "project_id" => 1, "done" => false}}} =
             Circuit.row(circuit, :todos, 1)
  end

  test "the columns of a new row's key may be left to its id" do
    circuit = circuit()

    batch =
      IngestBatch.new()
      |> IngestBatch.create(:tags, [1, "a"], %{})
      |> IngestBatch.create(:tags, [1, "b"], %{tag: "b"})
      |> IngestBatch.create(:tags, ["2", "c"], %{"todo_id" => 2})

    assert IngestBatch.size(batch) == 3
    assert Circuit.step(circuit, batch) == {:ok, []}

    for id <- [[1, "a"], [1, "b"], [2, "c"]],
        do: assert({:ok, %{}} = Circuit.row(circuit, :tags, id))
  end

  describe "versions" do
    defp version(circuit, id) do
      {:ok, %{version: version}} = Circuit.row(circuit, :todos, id)
      version
    end

    test "are those that operations come with, and stay without one" do
      circuit = circuit()
      {:create, table, id, record} = todo(1)

      step = fn build, opts ->
        {:ok, _} = Circuit.step(circuit, build.(IngestBatch.new()), opts)
        version(circuit, 1)
      end

      create = &IngestBatch.create(&1, table, id, record, version: 7)
      assert step.(create, []) == 7
      plain = &IngestBatch.update(&1, :todos, 1, %{title: "a"})
      assert step.(plain, optimistic: false) == 7
      assert step.(plain, optimistic: true) == 8
      twice = &(&1 |> plain.() |> plain.())
      assert step.(twice, optimistic: true) == 10
      # Of an optimistic one only that it is one more than the last.
      given = &IngestBatch.update(&1, :todos, 1, %{title: "b"}, version: 3)
      assert step.(given, optimistic: true) == 11
      assert step.(given, optimistic: false) == 3
      most = 18_446_744_073_709_551_615
      assert step.(&IngestBatch.update(&1, :todos, 1, %{}, version: most), []) == most
    end

    test "are no part of what a view sees" do
      circuit = circuit()
      view!(circuit, 1, "SELECT * FROM todos")
      step!(circuit, [todo(1)])
      batch = IngestBatch.update(IngestBatch.new(), :todos, 1, %{}, version: 5)
      assert Circuit.step(circuit, batch) == {:ok, []}
      assert version(circuit, 1) == 5
    end

    test "of other options nothing is known" do
      assert_raise ArgumentError, ~r/version:/, fn ->
        IngestBatch.create(IngestBatch.new(), :todos, 1, %{}, vresion: 1)
      end
    end
  end
end
