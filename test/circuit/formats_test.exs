defmodule ShapeRouter.Circuit.FormatsTest do
  @moduledoc "What each format keeps, and what it tells."
  use ExUnit.Case, async: true

  import ShapeRouter.TestCircuits

  alias ShapeRouter.{Circuit, Error}

  test "a flat view keeps its rows by id, and tells what changed, all ids and the hash" do
    circuit = circuit()
    view!(circuit, 1, "SELECT title FROM todos WHERE NOT done")
    [update] = step!(circuit, [todo(3), todo(1), todo(2)])
    assert %{view_id: 1, format: :flat, ids: [1, 2, 3]} = update
    assert Circuit.hash(circuit, 1) == {:ok, update.hash}

    [update] =
      step!(circuit, [
        {:update, "todos", 1, %{title: "new"}},
        {:update, "todos", 2, %{done: true}},
        todo(4)
      ])

    assert update.ids == [1, 3, 4]

    assert update.records == [
             %{event: :updated, id: 1, record: %{"title" => "new"}},
             %{event: :deleted, id: 2, record: %{"title" => "t2"}},
             %{event: :created, id: 4, record: %{"title" => "t4"}}
           ]

    assert Circuit.ids(circuit, 1) == {:ok, [1, 3, 4]}

    assert Circuit.rows(circuit, 1) ==
             {:ok, [{1, %{"title" => "new"}}, {3, %{"title" => "t3"}}, {4, %{"title" => "t4"}}]}
  end

  test "a streaming view tells the same changes and keeps nothing" do
    circuit = circuit()
    view!(circuit, 1, "SELECT title FROM todos", format: :streaming)
    [update] = step!(circuit, [todo(1), todo(2)])
    assert %{format: :streaming, ids: nil, hash: nil} = update
    assert events(update) == [created: 1, created: 2]
    [update] = step!(circuit, [{:update, "todos", 1, %{title: "n"}}, {:delete, "todos", 2}])
    assert events(update) == [updated: 1, deleted: 2]
    assert Circuit.hash(circuit, 1) == {:ok, nil}

    for ask <- [&Circuit.rows/2, &Circuit.ids/2] do
      assert {:error, %Error{code: :not_materialized, message: message}} = ask.(circuit, 1)
      assert message =~ "materialize: true"
    end
  end

  test "a streaming view that is materialized keeps its rows" do
    circuit = circuit()
    step!(circuit, [todo(1)])
    view!(circuit, "v", "SELECT id FROM todos", format: :streaming, materialize: true)
    assert [%{format: :streaming, ids: nil}] = step!(circuit, [todo(2), {:delete, "todos", 1}])
    assert Circuit.rows(circuit, "v") == {:ok, [{2, %{"id" => 2}}]}
    assert Circuit.ids(circuit, "v") == {:ok, [2]}
  end

  test "all ids are told of views up to a size" do
    circuit = circuit()
    view!(circuit, :few, "SELECT id FROM todos", ids: 3)
    view!(circuit, :none, "SELECT id FROM todos", ids: 0)
    view!(circuit, :all, "SELECT id FROM todos", ids: :infinity)
    view!(circuit, :default, "SELECT id FROM todos")
    ids = fn updates -> Map.new(updates, &{&1.view_id, &1.ids}) end
    one_to = &Enum.to_list(1..&1)

    assert ids.(step!(circuit, for(id <- one_to.(3), do: todo(id)))) ==
             %{few: [1, 2, 3], none: nil, all: [1, 2, 3], default: [1, 2, 3]}

    assert ids.(step!(circuit, for(id <- 4..257, do: todo(id)))) ==
             %{few: nil, none: nil, all: one_to.(257), default: nil}

    assert Circuit.ids(circuit, :few) == {:ok, one_to.(257)}
    deletions = for id <- 3..257, do: {:delete, "todos", id}

    assert ids.(step!(circuit, deletions)) ==
             %{few: [1, 2], none: nil, all: [1, 2], default: [1, 2]}
  end

  test "a view that a step does not change is not told" do
    circuit = circuit()
    view!(circuit, :done, "SELECT id FROM todos WHERE done")
    view!(circuit, :titles, "SELECT title FROM todos WHERE NOT done")
    assert [%{view_id: :titles}] = step!(circuit, [todo(1)])
    # Not what the view shows.
    assert step!(circuit, [{:update, "todos", 1, %{project_id: 9}}]) == []
    # Back and forth.
    operations = [
      {:update, "todos", 1, %{title: "x"}},
      {:update, "todos", 1, %{title: "t1"}}
    ]

    assert step!(circuit, operations) == []
    assert step!(circuit, []) == []
  end

  test "what raises for a row refuses the batch, and names the view" do
    circuit = circuit()
    view!(circuit, :fine, "SELECT id FROM todos")
    view!(circuit, :divides, "SELECT 10 / project_id AS n FROM todos", format: :streaming)
    step!(circuit, [todo(1)])
    before = seen(circuit)
    batch = batch([todo(2), todo(3, %{project_id: 0})])

    assert {:error, %Error{code: :raised, sqlstate: "22012", message: message}} =
             Circuit.step(circuit, batch)

    assert message =~ "divides"
    assert seen(circuit) == before
    assert Circuit.row(circuit, :todos, 2) == {:ok, nil}
    :ok = Circuit.unregister(circuit, :divides)
    assert {:ok, [%{ids: [1, 2, 3]}]} = Circuit.step(circuit, batch)
  end

  test "the hash changes exactly when the content does" do
    circuit = circuit()
    sql = "SELECT id, title FROM todos WHERE NOT done"
    empty = view!(circuit, 1, sql).hash
    assert empty =~ ~r/\A[0-9a-f]{32}\z/
    hash = fn -> circuit |> Circuit.hash(1) |> elem(1) end
    [%{hash: one}] = step!(circuit, [todo(1)])
    [%{hash: two}] = step!(circuit, [todo(2)])
    [%{hash: titled}] = step!(circuit, [{:update, :todos, 2, %{title: "T"}}])
    assert [empty, one, two, titled] == Enum.uniq([empty, one, two, titled])
    # What is not in the view does not matter.
    step!(circuit, [todo(3, %{done: true}), {:update, :todos, 1, %{project_id: 2}}])
    assert hash.() == titled
    # Nor the way.
    step!(circuit, [{:update, :todos, 2, %{title: "t2"}}])
    assert hash.() == two
    step!(circuit, [{:delete, :todos, 1}, {:delete, :todos, 2}])
    assert hash.() == empty
    step!(circuit, [todo(2)])
    step!(circuit, [todo(1)])
    assert hash.() == two
    # Another circuit and another view come to the same.
    other = circuit()
    step!(other, [todo(1), todo(2)])
    assert view!(other, "x", "SELECT id, title FROM todos").hash == two
  end
end
