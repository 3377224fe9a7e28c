defmodule ShapeRouter.Filter.SubqueryIndexTest do
  @moduledoc "What a consumer may say of its shape's subqueries, and what comes of it."
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  alias ShapeRouter.Changes.{DeletedRecord, NewRecord, UpdatedRecord}
  alias ShapeRouter.{Error, Filter, Shape}
  alias ShapeRouter.Filter.SubqueryIndex

  doctest SubqueryIndex

  @todos {"public", "todos"}
  @ref ["$sublink", "0"]
  @other ["$sublink", "1"]
  @columns [a: :int4, b: :int8, t: :text, n: :numeric]

  defp shape(where), do: %Shape{root_table: @todos, where: where, columns: @columns}

  defp told(where, links) do
    columns = Map.new(@columns, fn {name, type} -> {[Atom.to_string(name)], type} end)
    %Shape{root_table: @todos, where: %{query: where, used_refs: Map.merge(columns, links)}}
  end

  defp filter(shapes) do
    filter =
      Enum.reduce(shapes, Filter.new(filter: :native), fn
        {id, %Shape{} = shape}, filter -> Filter.add_shape(filter, id, shape)
        {id, where}, filter -> Filter.add_shape(filter, id, shape(where))
      end)

    {filter, Filter.subquery_index(filter)}
  end

  defp seeded(index, id, values, ref \\ @ref) do
    :ok = SubqueryIndex.seed_membership(index, id, ref, 0, MapSet.new(values))
    :ok = SubqueryIndex.mark_ready(index, id)
  end

  defp inserted(filter, record) do
    change = %NewRecord{relation: @todos, record: record}
    filter |> Filter.affected_shapes(change) |> Enum.sort()
  end

  test "a shape is in fallback until it is ready, but what its clause rules out does not concern it" do
    {filter, index} = filter([{"s", "a IN (SELECT id FROM p) AND t = 'x'"}])
    assert SubqueryIndex.fallback?(index, "s")
    assert SubqueryIndex.has_positions?(index, "s")
    assert inserted(filter, %{"a" => "9", "t" => "x"}) == ["s"]
    assert inserted(filter, %{"a" => "9", "t" => "y"}) == []
    # NULL is in no set.
    assert inserted(filter, %{"a" => nil, "t" => "x"}) == []

    :ok = SubqueryIndex.seed_membership(index, "s", @ref, 0, MapSet.new([1]))
    assert SubqueryIndex.fallback?(index, "s")
    assert inserted(filter, %{"a" => "9", "t" => "x"}) == ["s"]

    :ok = SubqueryIndex.mark_ready(index, "s")
    refute SubqueryIndex.fallback?(index, "s")
    assert inserted(filter, %{"a" => "9", "t" => "x"}) == []
    assert inserted(filter, %{"a" => "1", "t" => "x"}) == ["s"]
    assert inserted(filter, %{"a" => "1", "t" => "y"}) == []
  end

  test "values come and go, also those that are there or not there" do
    {filter, index} =
      filter([{"s", "a IN (SELECT id FROM p)"}, {"n", "a NOT IN (SELECT id FROM p)"}])

    for id <- ["s", "n"], do: seeded(index, id, [1])

    for id <- ["s", "n"], _twice <- 1..2 do
      assert :ok == SubqueryIndex.add_value(index, id, @ref, 0, 2)
      assert :ok == SubqueryIndex.remove_value(index, id, @ref, 0, 3)
    end

    assert inserted(filter, %{"a" => "1"}) == ["s"]
    assert inserted(filter, %{"a" => "2"}) == ["s"]
    assert inserted(filter, %{"a" => "3"}) == ["n"]
    assert inserted(filter, %{"a" => nil}) == []
    for id <- ["s", "n"], do: SubqueryIndex.remove_value(index, id, @ref, 0, 1)
    assert inserted(filter, %{"a" => "1"}) == ["n"]
    # Readiness and seeds may be said again.
    seeded(index, "s", [5])
    assert inserted(filter, %{"a" => "5"}) == ["n", "s"]
    seeded(index, "n", [5])
    assert inserted(filter, %{"a" => "5"}) == ["s"]
    assert inserted(filter, %{"a" => "2"}) == ["s"]
  end

  test "while shapes differ on a value, it concerns all of them, and no other value does" do
    {filter, index} =
      filter([
        {"a", "a IN (SELECT id FROM p)"},
        {"b", "a IN (SELECT id FROM p)"},
        {"n", "a NOT IN (SELECT id FROM p)"}
      ])

    for id <- ["a", "b", "n"], do: seeded(index, id, [1])
    SubqueryIndex.add_value(index, "a", @ref, 0, 2)
    assert inserted(filter, %{"a" => "2"}) == ["a", "b", "n"]
    assert inserted(filter, %{"a" => "1"}) == ["a", "b"]
    assert inserted(filter, %{"a" => "3"}) == ["n"]

    members = for id <- ["a", "b", "n"], do: SubqueryIndex.member?(index, id, @ref, 2)
    assert members == [true, false, false]

    for id <- ["b", "n"], do: SubqueryIndex.add_value(index, id, @ref, 0, 2)
    assert inserted(filter, %{"a" => "2"}) == ["a", "b"]
    # Before a later consumer has heard of it, the value goes again.
    SubqueryIndex.remove_value(index, "n", @ref, 0, 1)
    assert inserted(filter, %{"a" => "1"}) == ["a", "b", "n"]
  end

  test "who comes late is in fallback alone" do
    {filter, index} = filter([{"a", "a IN (SELECT id FROM p)"}])
    seeded(index, "a", [1])
    filter = Filter.add_shape(filter, "late", shape("a IN (select ID from P)"))
    assert inserted(filter, %{"a" => "1"}) == ["a", "late"]
    assert inserted(filter, %{"a" => "2"}) == ["late"]
    seeded(index, "late", [1])
    assert inserted(filter, %{"a" => "1"}) == ["a", "late"]
    assert inserted(filter, %{"a" => "2"}) == []
  end

  test "updates and deletes are looked at before and after" do
    {filter, index} = filter([{"a", "a IN (SELECT id FROM p)"}])
    seeded(index, "a", [1])
    old = %{"a" => "1"}
    update = %UpdatedRecord{relation: @todos, old_record: old, record: %{"a" => "2"}}
    assert Filter.affected_shapes(filter, update) == MapSet.new(["a"])
    delete = %DeletedRecord{relation: @todos, old_record: old}
    assert Filter.affected_shapes(filter, delete) == MapSet.new(["a"])
    delete = %DeletedRecord{relation: @todos, old_record: %{"a" => "2"}}
    assert Filter.affected_shapes(filter, delete) == MapSet.new()
    # Nobody knows which row it was.
    delete = %DeletedRecord{relation: @todos, old_record: nil}
    assert Filter.affected_shapes(filter, delete) == MapSet.new(["a"])
  end

  test "a NULL that a shape sees" do
    {filter, index} =
      filter([{"s", "a IN (SELECT id FROM p)"}, {"n", "a NOT IN (SELECT id FROM p)"}])

    for id <- ["s", "n"], do: seeded(index, id, [])
    # NULL is outside of the empty set.
    assert inserted(filter, %{"a" => nil}) == ["n"]
    for id <- ["s", "n"], do: SubqueryIndex.add_value(index, id, @ref, 0, nil)
    assert SubqueryIndex.member?(index, "n", @ref, nil)
    assert inserted(filter, %{"a" => "1"}) == []
    assert inserted(filter, %{"a" => nil}) == []
    SubqueryIndex.remove_value(index, "n", @ref, 0, nil)
    assert "n" in inserted(filter, %{"a" => "1"})
    SubqueryIndex.remove_value(index, "s", @ref, 0, nil)
    assert inserted(filter, %{"a" => "1"}) == ["n"]
  end

  test "values of several columns are tuples" do
    {filter, index} = filter([{"s", "(a, t) IN (SELECT x, y FROM p)"}])
    seeded(index, "s", [{1, "x"}, {2, nil}])
    assert inserted(filter, %{"a" => "1", "t" => "x"}) == ["s"]
    assert inserted(filter, %{"a" => "1", "t" => "y"}) == []
    assert inserted(filter, %{"a" => "2", "t" => "y"}) == []
    assert SubqueryIndex.member?(index, "s", @ref, {2, nil})
    assert SubqueryIndex.member?(index, "s", @ref, ["1", "x"])
    SubqueryIndex.remove_value(index, "s", @ref, 0, {1, "x"})
    assert inserted(filter, %{"a" => "1", "t" => "x"}) == []

    error = assert_raise Error, fn -> SubqueryIndex.add_value(index, "s", @ref, 0, {1}) end
    assert error.code == :invalid_value
  end

  test "values are the same where PostgreSQL says so" do
    {_filter, index} =
      filter([{"s", "n IN (SELECT id FROM p)"}, {"i", "b IN (SELECT id FROM p)"}])

    seeded(index, "s", ["1.50", "2.0"])
    seeded(index, "i", [7])
    assert SubqueryIndex.member?(index, "s", @ref, "1.5")
    assert SubqueryIndex.member?(index, "s", @ref, 2)
    refute SubqueryIndex.member?(index, "s", @ref, "1.51")
    assert SubqueryIndex.member?(index, "i", @ref, "7")
    SubqueryIndex.remove_value(index, "i", @ref, 0, "7")
    refute SubqueryIndex.member?(index, "i", @ref, 7)
  end

  test "what the subquery selects is told with the shape's references" do
    shape = told("b IN (SELECT n FROM p)", %{@ref => {:array, :numeric}})
    {filter, index} = filter([{"s", shape}])
    seeded(index, "s", ["1.5", "7.0"])
    assert inserted(filter, %{"b" => "7"}) == ["s"]
    assert inserted(filter, %{"b" => "1"}) == []

    row = {:array, {:row, [:int8, :text]}}
    {filter, index} = filter([{"s", told("(b, t) IN (SELECT x, y FROM p)", %{@ref => row})}])
    seeded(index, "s", [{7, "x"}])
    assert inserted(filter, %{"b" => "7", "t" => "x"}) == ["s"]
    assert inserted(filter, %{"b" => "7", "t" => "y"}) == []
  end

  test "several subqueries are named in their order, each with what it selects" do
    where = "a IN (SELECT id FROM p WHERE x IN (SELECT id FROM q)) OR b NOT IN (SELECT id FROM r)"
    {filter, index} = filter([{"s", where}])
    seeded(index, "s", [1], @ref)
    :ok = SubqueryIndex.seed_membership(index, "s", @other, 1, [2])
    assert inserted(filter, %{"a" => "1", "b" => "2"}) == ["s"]
    assert inserted(filter, %{"a" => "3", "b" => "2"}) == []
    assert inserted(filter, %{"a" => "3", "b" => "3"}) == ["s"]
    # Subqueries of subqueries are none of the shape's.
    error = assert_raise Error, fn -> SubqueryIndex.member?(index, "s", ["$sublink", "2"], 1) end
    assert error.code == :unknown_set
  end

  test "one that stands there twice has two names, or one" do
    where = "a IN (SELECT id FROM p) OR b IN (SELECT id FROM p)"
    {filter, index} = filter([{"s", where}])
    seeded(index, "s", [1], @ref)
    :ok = SubqueryIndex.seed_membership(index, "s", @other, 1, [1])
    assert inserted(filter, %{"a" => "1", "b" => "2"}) == ["s"]
    assert inserted(filter, %{"a" => "2", "b" => "2"}) == []
    SubqueryIndex.add_value(index, "s", @other, 1, 2)
    assert inserted(filter, %{"a" => "3", "b" => "2"}) == ["s"]
    refute SubqueryIndex.member?(index, "s", @ref, 2)

    {filter, index} = filter([{"s", told(where, %{@ref => {:array, :int8}})}])
    seeded(index, "s", [1])
    assert inserted(filter, %{"a" => "2", "b" => "1"}) == ["s"]
    assert inserted(filter, %{"a" => "2", "b" => "2"}) == []
  end

  test "a shape that tells another number of subqueries than its clause has concerns its consumer anyway" do
    refs = Map.new(0..2, fn number -> {["$sublink", "#{number}"], {:array, :int8}} end)
    where = "a IN (SELECT id FROM p) OR b IN (SELECT id FROM p)"
    {filter, index} = filter([{"s", told(where, refs)}])
    seeded(index, "s", [1])
    refute SubqueryIndex.has_positions?(index, "s")
    refute SubqueryIndex.fallback?(index, "s")
    assert SubqueryIndex.member?(index, "s", @ref, 1)
    assert inserted(filter, %{"a" => "9", "b" => "9"}) == ["s"]
  end

  test "a shape whose clause is refused takes what is said, and is concerned by everything" do
    log =
      capture_log(fn ->
        links = %{@ref => {:array, :int8}}
        {filter, index} = filter([{:_, told("a IN (SELECT id FROM p) AND now() > t", links)}])
        assert SubqueryIndex.fallback?(index, :_)
        seeded(index, :_, [1])
        SubqueryIndex.add_value(index, :_, @ref, 0, 2)
        SubqueryIndex.remove_value(index, :_, @ref, 0, 1)
        assert for(v <- 1..2, do: SubqueryIndex.member?(index, :_, @ref, v)) == [false, true]
        assert inserted(filter, %{"a" => "9"}) == [:_]
        refute SubqueryIndex.has_positions?(index, :_)
        Filter.remove_shape(filter, :_)
        assert_raise Error, fn -> SubqueryIndex.member?(index, :_, @ref, 2) end
      end)

    assert log =~ "its clause is refused"
  end

  test "what is unknown raises with its code, and changes nothing" do
    {filter, index} = filter([{"s", "a IN (SELECT id FROM p)"}, {"plain", "a = 1"}])
    seeded(index, "s", [1])

    calls = [
      &SubqueryIndex.seed_membership(index, &1, &2, 0, [2]),
      &SubqueryIndex.add_value(index, &1, &2, 0, 2),
      &SubqueryIndex.remove_value(index, &1, &2, 0, 1),
      &SubqueryIndex.member?(index, &1, &2, 1)
    ]

    for call <- calls do
      for id <- ["gone", "plain"] do
        error = assert_raise Error, fn -> call.(id, @ref) end
        assert error.code == :unknown_shape
        assert error.message =~ inspect(id)
      end

      for ref <- [@other, ["a"], nil] do
        error = assert_raise Error, fn -> call.("s", ref) end
        assert error.code == :unknown_set
        assert error.message =~ inspect(ref)
      end
    end

    assert assert_raise(Error, fn -> SubqueryIndex.mark_ready(index, "gone") end).code ==
             :unknown_shape

    for id <- ["gone", "plain"] do
      refute SubqueryIndex.fallback?(index, id)
      refute SubqueryIndex.has_positions?(index, id)
    end

    for value <- ["x", 2 ** 40, %{}, {1, 2}] do
      error = assert_raise Error, fn -> SubqueryIndex.add_value(index, "s", @ref, 0, value) end
      assert error.code == :invalid_value
      assert error.message =~ ~s("s")
      view = MapSet.new([3, value])
      assert_raise Error, fn -> SubqueryIndex.seed_membership(index, "s", @ref, 0, view) end
    end

    assert inserted(filter, %{"a" => "1"}) == ["plain", "s"]
    for value <- [2, 3], do: assert(inserted(filter, %{"a" => "#{value}"}) == [])
  end

  test "a shape that is removed takes what it said with it, and the last one the set" do
    {filter, index} = filter([{"a", "a IN (SELECT id FROM p)"}, {"b", "a IN (SELECT id FROM p)"}])
    for id <- ["a", "b"], do: seeded(index, id, [1])
    SubqueryIndex.add_value(index, "b", @ref, 0, 2)
    filter = Filter.remove_shape(filter, "b")
    assert inserted(filter, %{"a" => "2"}) == []

    assert assert_raise(Error, fn -> SubqueryIndex.add_value(index, "b", @ref, 0, 3) end).code ==
             :unknown_shape

    before = Filter.memory_bytes(Filter.new(filter: :native))
    filter = Filter.remove_shape(filter, "a")
    assert Filter.memory_bytes(filter).routers == before.routers
    # The handle is the same, and nothing is left of those that were there.
    filter = Filter.add_shape(filter, "a", shape("a NOT IN (SELECT id FROM p)"))
    :ok = SubqueryIndex.mark_ready(index, "a")
    assert inserted(filter, %{"a" => "1"}) == ["a"]
    refute SubqueryIndex.member?(index, "a", @ref, 1)
  end

  test "shapes that are added together are fed one by one" do
    shapes = for n <- 1..2_000, do: {n, shape("a IN (SELECT id FROM p WHERE o = #{rem(n, 20)})")}
    shapes = [{:plain, shape("a = 1")}, {:refused, shape("a IN (SELECT")} | shapes]

    {filter, _log} = with_log(fn -> Filter.new(filter: :native) |> Filter.add_shapes(shapes) end)

    index = Filter.subquery_index(filter)
    for n <- 1..2_000, do: seeded(index, n, [rem(n, 20) + 100])
    found = inserted(filter, %{"a" => "103"})
    assert found == Enum.sort([:refused | Enum.filter(1..2_000, &(rem(&1, 20) == 3))])
  end

  test "an altered column has a router of its own, and its shapes are fed as well" do
    text = %{shape("a IN (SELECT id FROM p)") | columns: [a: :text]}
    {filter, index} = filter([{"int", "a IN (SELECT id FROM p)"}, {"text", text}])
    seeded(index, "int", [1])
    seeded(index, "text", ["x"])
    assert inserted(filter, %{"a" => "1"}) == ["int"]
    assert "text" in inserted(filter, %{"a" => "x"})
  end
end
