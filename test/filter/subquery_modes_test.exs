defmodule ShapeRouter.Filter.SubqueryModesTest do
  @moduledoc "What the other modes make of what consumers say."
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  alias ShapeRouter.Changes.NewRecord
  alias ShapeRouter.{Error, Filter, Shape}
  alias ShapeRouter.Filter.SubqueryIndex

  @table {"public", "t"}
  @ref ["$sublink", "0"]
  @shape %Shape{root_table: @table, where: "a IN (SELECT v FROM p)", columns: [a: :int8]}

  defmodule Index do
    @moduledoc false
    # A host's own index, that tells what it is called with. It knows no `has_positions?/2`.
    defstruct [:test]

    for {name, arity} <- [
          seed_membership: 4,
          add_value: 4,
          remove_value: 4,
          mark_ready: 1,
          fallback?: 1
        ] do
      args = Macro.generate_arguments(arity, __MODULE__)

      def unquote(name)(%{test: test}, unquote_splicing(args)) do
        send(test, {unquote(name), unquote(args)})
        :ok
      end
    end

    def member?(_index, _id, _ref, value), do: value == :hosts
  end

  defmodule Host do
    @moduledoc false
    # A host's own filter: for it every shape is concerned.
    def new(opts), do: %{test: opts[:test], ids: MapSet.new()}
    def add_shape(host, id, _shape), do: update_in(host.ids, &MapSet.put(&1, id))
    def remove_shape(host, id), do: update_in(host.ids, &MapSet.delete(&1, id))
    def affected_shapes(host, _change), do: host.ids
    def active_shapes(host), do: MapSet.to_list(host.ids)
    def has_shape?(host, id), do: id in host.ids
    def subquery_index(host), do: %ShapeRouter.Filter.SubqueryModesTest.Index{test: host.test}
  end

  defmodule PlainHost do
    @moduledoc false
    # One that has no index.
    defdelegate new(opts), to: Host
    defdelegate add_shape(host, id, shape), to: Host
    defdelegate remove_shape(host, id), to: Host
    defdelegate affected_shapes(host, change), to: Host
    defdelegate active_shapes(host), to: Host
  end

  defp change(value), do: %NewRecord{relation: @table, record: %{"a" => value}}

  test "beam: memberships are exact, and a shape with a subquery is concerned whatever is said" do
    capture_log(fn ->
      filter = Filter.new(filter: :beam) |> Filter.add_shape("s", @shape)
      index = Filter.subquery_index(filter)
      assert SubqueryIndex.fallback?(index, "s")
      :ok = SubqueryIndex.seed_membership(index, "s", @ref, 0, MapSet.new([1, 2]))
      :ok = SubqueryIndex.mark_ready(index, "s")
      refute SubqueryIndex.fallback?(index, "s")
      refute SubqueryIndex.has_positions?(index, "s")
      :ok = SubqueryIndex.add_value(index, "s", @ref, 0, nil)
      :ok = SubqueryIndex.remove_value(index, "s", @ref, 0, 1)
      members = for value <- [1, 2, nil], do: SubqueryIndex.member?(index, "s", @ref, value)
      assert members == [false, true, true]
      assert Filter.affected_shapes(filter, change("9")) == MapSet.new(["s"])

      Filter.remove_shape(filter, "s")
      error = assert_raise Error, fn -> SubqueryIndex.member?(index, "s", @ref, 2) end
      assert error.code == :unknown_shape
    end)
  end

  test "shadow: calls are handed on to the host's own index, and the native side is told the same" do
    filter = Filter.new(filter: {:shadow, Host}, test: self()) |> Filter.add_shape("s", @shape)
    index = Filter.subquery_index(filter)
    view = MapSet.new([1, 2])
    assert :ok == SubqueryIndex.seed_membership(index, "s", @ref, 0, view)
    assert_received {:seed_membership, ["s", @ref, 0, ^view]}
    assert :ok == SubqueryIndex.mark_ready(index, "s")
    assert_received {:mark_ready, ["s"]}
    assert :ok == SubqueryIndex.add_value(index, "s", @ref, 0, 3)
    assert_received {:add_value, ["s", @ref, 0, 3]}
    assert :ok == SubqueryIndex.remove_value(index, "s", @ref, 0, 1)
    assert_received {:remove_value, ["s", @ref, 0, 1]}

    # The host's answer is the answer, where it has one.
    assert SubqueryIndex.member?(index, "s", @ref, :hosts)
    assert SubqueryIndex.has_positions?(index, "s")

    log =
      capture_log(fn ->
        for value <- ["1", "2", "3", "9"], do: Filter.affected_shapes(filter, change(value))
      end)

    # Of 1 and 9 the native side says what the consumer said.
    assert %{compared: 4, differing: 2, causes: [%{kind: :missing, count: 2}]} =
             Filter.differences(filter)

    assert log =~ "the native filter left out a shape"
  end

  test "shadow: what the native side cannot take is counted, and the host does not notice" do
    filter = Filter.new(filter: {:shadow, Host}, test: self()) |> Filter.add_shape("s", @shape)
    index = Filter.subquery_index(filter)

    capture_log(fn ->
      assert :ok == SubqueryIndex.add_value(index, "s", @ref, 0, "no number")
      assert :ok == SubqueryIndex.mark_ready(index, "unknown")
    end)

    assert Filter.differences(filter).failed == 2
  end

  test "shadow: a host without an index of its own leaves it to the native side" do
    filter = Filter.new(filter: {:shadow, PlainHost}) |> Filter.add_shape("s", @shape)
    index = Filter.subquery_index(filter)
    :ok = SubqueryIndex.seed_membership(index, "s", @ref, 0, [1])
    :ok = SubqueryIndex.mark_ready(index, "s")
    assert SubqueryIndex.member?(index, "s", @ref, 1)
    refute SubqueryIndex.fallback?(index, "s")
    Filter.affected_shapes(filter, change("1"))
    assert %{compared: 1, differing: 0} = Filter.differences(filter)
  end
end
