defmodule ShapeRouter.Subquery.ValueSetTest do
  # Sets that the host feeds: seeded, added to, taken from, marked; and what their changes move.
  use ExUnit.Case, async: true

  alias ShapeRouter.{Error, ValueSet}

  doctest ShapeRouter.ValueSet

  @projects "SELECT id FROM projects WHERE owner_id = 5"

  setup do
    columns = [id: :int8, project_id: :int4, team: :text]
    {:ok, router} = ShapeRouter.new("tenant", "todos", columns: columns, primary_key: [:id])
    %{router: router}
  end

  defp insert(project, team \\ nil),
    do: %{op: :insert, new_record: %{id: 1, project_id: project, team: team}}

  test "a set is unready until it is seeded, and can become so again", %{router: router} do
    :ok = ShapeRouter.add_shape(router, 1, "project_id IN (#{@projects})")
    assert ShapeRouter.route(router, insert(7), classify: true) == [{1, :unknown}]
    assert :ok = ValueSet.add(router, 1, [7])
    assert ShapeRouter.route(router, insert(8), classify: true) == [{1, :unknown}]
    assert :ok = ValueSet.ready(router, 1)
    assert ShapeRouter.route(router, insert(8), classify: true) == []
    assert ShapeRouter.route(router, insert(7), classify: true) == [{1, :insert}]
    assert :ok = ValueSet.remove(router, @projects, [7, 99])
    assert ShapeRouter.route(router, insert(7)) == []
    assert :ok = ValueSet.ready(router, 1, false)
    assert ShapeRouter.route(router, insert(8)) == [1]
    assert :ok = ValueSet.seed(router, 1, [8, "9"])
    assert Enum.map([7, 8, 9], &ShapeRouter.route(router, insert(&1))) == [[], [1], [1]]
  end

  test "shapes of one subquery share its set, whatever it is written like", %{router: router} do
    :ok = ShapeRouter.add_shape(router, 1, "project_id IN (#{@projects})")

    where = "project_id NOT IN (select id from Projects where owner_id=$1) AND team = 'a'"
    :ok = ShapeRouter.add_shape(router, 2, where, :unknown, params: [5])
    assert [%ValueSet{shapes: 2, ready: false, types: ["integer"]} = set] = ValueSet.list(router)
    assert set.subquery == "select id from projects where owner_id = 5"
    assert ValueSet.text(@projects) == {:ok, set.subquery}
    assert ValueSet.subqueries(router, 2) == [set.subquery]
    assert %{filed: :set, subqueries: [^set]} = ShapeRouter.explain(router, 1)
    :ok = ValueSet.seed(router, @projects, [1, 2])
    assert ShapeRouter.route(router, insert(1, "a")) == [1]
    assert ShapeRouter.route(router, insert(3, "a")) == [2]

    assert %{"value_sets" => 1, "set_values" => 2, "unready_sets" => 0} =
             ShapeRouter.metrics(router)

    :ok = ShapeRouter.remove_shape(router, 1)
    assert [%{shapes: 1, values: 2}] = ValueSet.list(router)
    :ok = ShapeRouter.remove_shape(router, 2)
    assert ValueSet.list(router) == []
    assert {:error, %Error{code: :unknown_set}} = ValueSet.seed(router, @projects, [])
  end

  test "what a transaction does to a set moves rows, and is seen by its later changes", context do
    %{router: router} = context
    :ok = ShapeRouter.add_shape(router, 1, "project_id IN (#{@projects})")
    :ok = ShapeRouter.add_shape(router, 2, "project_id NOT IN (#{@projects})")
    :ok = ValueSet.seed(router, 1, [1])
    txn = [insert(2), {:values, @projects, [2], []}, insert(2), {:values, @projects, [nil], [1]}]

    expected = [
      [{2, :insert}],
      [{:move_in, 1, [2]}, {:move_out, 2, [2]}],
      [{1, :insert}],
      [{:move_out, 1, [1]}, {:move_out, 2, :all}]
    ]

    assert ShapeRouter.route_txn(router, 10, txn) == expected
    assert ShapeRouter.route(router, insert(2)) == [2], "nobody else sees it before the ack"
    assert ShapeRouter.route_txn(router, 10, txn) == expected
    assert :ok = ShapeRouter.ack(router, 10)
    assert ShapeRouter.route(router, insert(2)) == [1]
    # What was acknowledged moves nothing again.
    assert [_, [], _, []] = ShapeRouter.route_txn(router, 10, txn)
  end

  test "of several columns a value is a list", %{router: router} do
    members = "SELECT project_id, team FROM members"
    :ok = ShapeRouter.add_shape(router, 1, "(project_id, team) IN (#{members})")
    :ok = ShapeRouter.add_shape(router, 2, "(project_id, team) NOT IN (#{members})")
    :ok = ValueSet.seed(router, members, [[1, "a"], [2, "b"]])
    assert ShapeRouter.route(router, insert(1, "a")) == [1]
    assert ShapeRouter.route(router, insert(1, "b")) == [2]
    assert ShapeRouter.route(router, insert(1, nil)) == []
    answer = ShapeRouter.route_txn(router, 10, [{:values, members, [[3, "c"]], []}])
    assert [[{:move_in, 1, [[3, "c"]]}, {:move_out, 2, values}]] = answer
    assert Enum.sort(values) == Enum.sort([[nil, "c"], [3, nil], [3, "c"]])
  end

  test "a large change of a set goes off the scheduler and has the same answer", context do
    %{router: router} = context
    :ok = ShapeRouter.add_shape(router, 1, "project_id IN (#{@projects})")
    :ok = ValueSet.seed(router, 1, Enum.to_list(1..100_000))

    [out] =
      ShapeRouter.route_txn(router, 10, [{:values, @projects, [], Enum.to_list(1..100_000)}])

    assert [{:move_out, 1, values}] = out
    assert Enum.sort(values) == Enum.to_list(1..100_000)
    :ok = ShapeRouter.ack(router, 10)
    assert [%{values: 0}] = ValueSet.list(router)
  end

  test "a directory brings back shapes with their subqueries, unready until they are fed" do
    dir = Path.join(System.tmp_dir!(), "value-set-#{System.unique_integer([:positive])}")
    on_exit(fn -> File.rm_rf!(dir) end)
    opts = [columns: [id: :int8, project_id: :int4], data_dir: dir]
    {:ok, router} = ShapeRouter.new("tenant", "todos", opts)
    :ok = ShapeRouter.add_shape(router, 1, "project_id IN (#{@projects})")
    :ok = ValueSet.seed(router, 1, [7])
    :ok = ShapeRouter.close(router)
    {:ok, router} = ShapeRouter.new("tenant", "todos", opts)
    assert [%{ready: false, values: 0, shapes: 1}] = ValueSet.list(router)
    assert ShapeRouter.route(router, insert(8), classify: true) == [{1, :unknown}]
    :ok = ValueSet.seed(router, 1, [7])
    assert ShapeRouter.route(router, insert(8)) == []
    :ok = ShapeRouter.close(router)
  end

  test "what is wrong is told with its place, and changes nothing", %{router: router} do
    add = &ShapeRouter.add_shape(router, 1, &1)

    assert {:error, %Error{code: :syntax_error, position: 11}} =
             add.("project_id IN (SELECT a, b FROM t)")

    assert {:error, %Error{code: :not_supported, position: 0}} = add.("EXISTS (SELECT 1)")
    assert {:error, %Error{code: :not_supported}} = add.("project_id = (SELECT 1)")
    assert {:error, %Error{code: :unknown_column, position: 0}} = add.("owner IN (SELECT 1)")
    assert ValueSet.list(router) == []

    :ok = add.("project_id IN (#{@projects})")
    assert {:error, %Error{code: :invalid_value}} = ValueSet.seed(router, 1, [1, "x"])
    assert {:error, %Error{code: :invalid_value}} = ValueSet.add(router, 1, [[1, 2]])
    assert {:error, %Error{code: :unknown_set}} = ValueSet.seed(router, "SELECT 1", [1])
    assert {:error, %Error{code: :syntax_error}} = ValueSet.seed(router, "SELECT (1", [1])
    assert {:error, %Error{code: :unknown_shape}} = ValueSet.seed(router, 2, [1])

    assert {:error, %Error{code: :invalid_value}} =
             ShapeRouter.route_txn(router, 10, [{:values, @projects, ["x"], []}])

    assert {:error, %Error{code: :invalid_change}} =
             ShapeRouter.route_txn(router, 10, [{:values, 1}])

    assert [%{ready: false, values: 0}] = ValueSet.list(router)

    :ok = ShapeRouter.add_shape(router, 2, "project_id IN (SELECT 1) OR project_id IN (SELECT 2)")
    assert {:error, %Error{code: :invalid_argument}} = ValueSet.seed(router, 2, [1])
  end
end
