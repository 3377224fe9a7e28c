defmodule ShapeRouter.Index.LawsTest do
  # What every implementation of ShapeRouter.Index.Protocol does alike: a random history of adds and
  # removes against a plain list, asked after every step.
  use ExUnit.Case, async: true

  alias ShapeRouter.Index.{EqualityIndex, InclusionIndex, LsmEqualityIndex, Protocol}

  @steps 250

  # A value as it is filed, and as records write it.
  @equal [
    {:int4, [{1, "1"}, {"2", 2}, {-7, "-7"}, {2_147_483_647, "2147483647"}]},
    {:numeric, [{"1.5", "1.50"}, {0, "-0.000"}, {"NaN", "NaN"}, {"1e3", 1000}]},
    {:float8, [{0.0, "-0"}, {"NaN", "NaN"}, {"Infinity", "infinity"}, {1.5, "1.5"}]},
    {:text, [{"a", "a"}, {"", ""}, {"Ä", "Ä"}, {"a ", "a "}]},
    {:bpchar, [{"a", "a  "}, {"", "  "}, {"b  ", "b"}, {"c", "c"}]},
    {:bool, [{true, "t"}, {"f", false}]},
    {:timestamptz,
     [{"2024-01-01 00:00:00+00", "2024-01-01 02:00:00+02"}, {"infinity", "infinity"}]}
  ]

  @arrays [
    {[], "{}"},
    {["a"], "{a}"},
    {["a", "b"], "{b,a,b}"},
    {"{c}", ["c"]},
    {["a", "b", "c"], "{{a,b},{c,c}}"},
    {["d", nil], ["d", nil]}
  ]

  for {type, values} <- @equal do
    test "equality of #{inspect(type)}: the maps" do
      random_history(
        EqualityIndex.new(unquote(Macro.escape(type))),
        unquote(Macro.escape(values)),
        &==/2
      )
    end

    test "equality of #{inspect(type)}: the LSM index" do
      index = LsmEqualityIndex.new(unquote(Macro.escape(type)), num_lanes: 8)
      random_history(index, unquote(Macro.escape(values)), &==/2)
    end
  end

  test "inclusion" do
    elements = fn value -> if is_list(value), do: value, else: ["c"] end

    contains = fn {filed, _}, {record, _} ->
      filed = elements.(filed)
      nil not in filed and Enum.all?(filed, &(&1 in elements.(record)))
    end

    random_history(InclusionIndex.new({:array, :text}), @arrays, contains)
  end

  test "an index in a directory answers the same after each reopening" do
    dir = Path.join(System.tmp_dir!(), "lsm-laws-#{System.unique_integer([:positive])}")
    on_exit(fn -> File.rm_rf!(dir) end)
    open = fn -> LsmEqualityIndex.new(:int4, num_lanes: 4, path: dir) end

    reopen = fn index ->
      if :rand.uniform(20) == 1 do
        :ok = LsmEqualityIndex.close(index)
        open.()
      else
        index
      end
    end

    random_history(open.(), @equal[:int4], &==/2, reopen)
  end

  defp random_history(index, values, matches?, between \\ & &1) do
    {:ok, odd} = ShapeRouter.Predicate.compile("n % 2 = 1", columns: [n: :int4])
    rests = if Map.get(index, :path), do: [nil, "odd"], else: [nil, odd, &(&1["n"] > 5), "odd"]
    shapes = for id <- shape_ids(), into: %{}, do: {id, odd}

    holds? = fn rest, n ->
      case rest do
        nil -> true
        function when is_function(function) -> n > 5
        _odd -> rem(n, 2) == 1
      end
    end

    Enum.reduce(1..@steps, {index, MapSet.new()}, fn _step, {index, filed} ->
      value = Enum.random(values)
      {shape, rest} = {Enum.random(shape_ids()), Enum.random(rests)}
      {as_filed, as_written} = value
      # Either form may be what a shape is filed under, and what takes it back.
      form = Enum.random([as_filed, as_written])

      {index, filed} =
        if :rand.uniform(3) > 1 do
          {Protocol.add_shape(index, form, shape, rest), MapSet.put(filed, {value, shape, rest})}
        else
          {Protocol.remove_shape(index, form, shape, rest),
           MapSet.delete(filed, {value, shape, rest})}
        end

      index = between.(index)
      {_, asked} = asked_value = Enum.random(values)
      n = :rand.uniform(10)
      record = Enum.random([%{"v" => asked, "n" => n}, %{:v => asked, "n" => n}])

      expected =
        for {value, shape, rest} <- filed,
            matches?.(value, asked_value),
            holds?.(rest, n),
            into: MapSet.new(),
            do: shape

      assert Protocol.affected_shapes(index, "v", record, shapes) == expected
      assert Protocol.affected_shapes(index, "v", %{"v" => nil}, shapes) == MapSet.new()
      assert Protocol.affected_shapes(index, "v", %{}, shapes) == MapSet.new()
      all = for {_, shape, _} <- filed, into: MapSet.new(), do: shape
      assert Protocol.all_shape_ids(index) == all
      assert Protocol.empty?(index) == Enum.empty?(filed)
      {index, filed}
    end)
  end

  defp shape_ids, do: [1, "two", {:three, 3}, :four, ["five"]]

  for module <- [EqualityIndex, LsmEqualityIndex] do
    test "#{inspect(module)}: a value that is none of the type" do
      index = unquote(module).new(:int4) |> Protocol.add_shape(1, :a, nil)
      error = assert_raise ShapeRouter.Error, fn -> Protocol.add_shape(index, "x", :b, nil) end
      assert {error.code, error.sqlstate} == {:unreadable_value, "22P02"}
      error = assert_raise ShapeRouter.Error, fn -> Protocol.add_shape(index, nil, :b, nil) end
      assert error.code == :invalid_argument
      # A record's concerns all shapes rather than none.
      assert Protocol.affected_shapes(index, "v", %{"v" => "x"}, %{}) == MapSet.new([:a])
    end

    test "#{inspect(module)}: a type that there is not" do
      error = assert_raise ShapeRouter.Error, fn -> unquote(module).new(:int5) end
      assert error.code == :unknown_type
    end
  end

  test "a map that has grown moves to the LSM index with all it holds" do
    index = %{EqualityIndex.new(:int4) | lsm_above: 100}
    index = Enum.reduce(1..100, index, &Protocol.add_shape(&2, &1, {:id, &1}, nil))
    assert %EqualityIndex{} = index
    index = Protocol.add_shape(index, 101, :last, & &1["yes"])
    assert %LsmEqualityIndex{} = index
    assert Protocol.affected_shapes(index, "v", %{"v" => "7"}, %{}) == MapSet.new([{:id, 7}])
    record = %{"v" => 101, "yes" => true}
    assert Protocol.affected_shapes(index, "v", record, %{}) == MapSet.new([:last])
    assert Protocol.affected_shapes(index, "v", %{record | "yes" => nil}, %{}) == MapSet.new()
    assert MapSet.size(Protocol.all_shape_ids(index)) == 101
    index = Protocol.remove_shape(index, 7, {:id, 7}, nil)
    assert Protocol.affected_shapes(index, "v", %{"v" => "7"}, %{}) == MapSet.new()
  end

  test "an inclusion index is over arrays" do
    error = assert_raise ShapeRouter.Error, fn -> InclusionIndex.new(:int4) end
    assert error.code == :invalid_argument
  end
end
