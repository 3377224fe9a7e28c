defmodule ShapeRouter.Filter.ShadowTest do
  use ExUnit.Case

  import ExUnit.CaptureLog
  alias ShapeRouter.Changes.NewRecord
  alias ShapeRouter.{Filter, Shape}

  @todos {"public", "todos"}

  # A host's filter, with mistakes: it knows `column = number` alone, compares texts, and has no idea of
  # anything else.
  defmodule Host do
    defstruct shapes: %{}, opts: []

    def new(opts), do: %__MODULE__{opts: opts}
    def add_shape(filter, id, shape), do: put_in(filter.shapes[id], shape)

    def remove_shape(filter, id) do
      %{filter | shapes: Map.delete(filter.shapes, id)}
    end

    def has_shape?(filter, id), do: is_map_key(filter.shapes, id)
    def active_shapes(filter), do: Map.keys(filter.shapes)
    def get_shape(filter, id), do: filter.shapes[id]
    def indexed_shape?(shape), do: shape.where =~ "="

    def affected_shapes(filter, %{record: record}) do
      for {id, shape} <- filter.shapes, holds?(shape.where, record), into: MapSet.new(), do: id
    end

    defp holds?(where, record) do
      case String.split(where, " = ") do
        [column, value] -> record[column] == value
        _ -> true
      end
    end
  end

  defp shape(where),
    do: %Shape{root_table: @todos, where: where, columns: [n: :int8, q: :numeric]}

  defp insert(record), do: %NewRecord{relation: @todos, record: record}

  defp shadow(shapes, opts \\ []) do
    filter = Filter.new([filter: {:shadow, Host}] ++ opts)
    Enum.reduce(shapes, filter, fn {id, where}, f -> Filter.add_shape(f, id, shape(where)) end)
  end

  test "the host's filter answers" do
    filter = shadow([{"a", "n = 5"}, {"b", "q = 1.5"}], refs_fun: :the_hosts)
    assert Filter.affected_shapes(filter, insert(%{"n" => "5"})) == MapSet.new(["a"])
    assert Filter.has_shape?(filter, "b")
    assert Enum.sort(Filter.active_shapes(filter)) == ["a", "b"]
    assert Filter.get_shape(filter, "a").where == "n = 5"
    assert filter.state.own.opts == [refs_fun: :the_hosts]
    filter = Filter.remove_shape(filter, "a")
    refute Filter.has_shape?(filter, "a")
    assert Filter.differences(filter) == %{compared: 1, differing: 0, failed: 0, causes: []}
  end

  test "a difference is counted, told, and logged once for each cause" do
    :telemetry.listen([:shape_router, :filter, :difference])
    shapes = for n <- 1..3, do: {{:exact, n}, "q = #{n}.5"}
    filter = shadow([{"infix", "n > 7"} | shapes])

    log =
      capture_log(fn ->
        # PostgreSQL's 1.5 is 1.50; and 5 is not more than 7.
        for n <- 1..3, _ <- 1..2 do
          assert Filter.affected_shapes(filter, insert(%{"q" => "#{n}.50", "n" => "5"})) ==
                   MapSet.new(["infix"])
        end
      end)

    assert %{compared: 6, differing: 6, failed: 0, causes: [missing, extra]} =
             Filter.differences(filter)

    assert %{kind: :missing, clause: "n > ?", count: 6, example: "infix", table: @todos} = missing
    assert %{kind: :extra, clause: "q = ?", count: 6, example: {:exact, 1}} = extra
    assert extra.columns == ["n", "q"]

    assert length(String.split(log, "filters differ")) - 1 == 2
    assert log =~ ~s(the native filter left out a shape)
    assert log =~ ~s(clause "n > 7")
    assert log =~ "reads n, q"
    # What users wrote into their rows is not logged.
    refute log =~ "1.50"

    for _ <- 1..12 do
      assert_received {:telemetry, [:shape_router, :filter, :difference], %{count: 1}, metadata}

      assert %{kind: _, table: @todos, clause: _, columns: _, shape: _, change: %NewRecord{}} =
               metadata
    end

    refute_received {:telemetry, _, _, _}
  end

  test "whatever happens beside it, the host's filter does not notice" do
    :telemetry.listen([:shape_router, :filter, :failed])

    log =
      capture_log(fn ->
        filter = shadow([{"a", "n = 5"}])
        # The shadow is broken by force.
        for {_table, table} <- filter.state.native.tables,
            router <- table.routers,
            do: ShapeRouter.close(router)

        broken = put_in(filter.state.native.tables[@todos], :broken)
        filter = Filter.add_shape(broken, "b", shape("n = 5"))
        filter = Filter.remove_shape(filter, "a")
        assert Filter.affected_shapes(filter, insert(%{"n" => "5"})) == MapSet.new(["b"])
        assert %{failed: 3, compared: 1} = Filter.differences(filter)
      end)

    assert log =~ "the filter in the shadow failed"
    for _ <- 1..3, do: assert_received({:telemetry, _, %{count: 1}, %{error: _}})
  end

  test "what the host's filter refuses is not added beside it" do
    defmodule Strict do
      defdelegate new(opts), to: Host
      def add_shape(_filter, _id, _shape), do: raise("no")
      defdelegate active_shapes(filter), to: Host
    end

    filter = Filter.new(filter: {:shadow, Strict})
    assert_raise RuntimeError, "no", fn -> Filter.add_shape(filter, "a", shape("n = 5")) end
    assert Filter.memory_bytes(filter).routers == 0
  end

  test "the configured mode is read once" do
    Application.put_env(:shape_router, :filter, {:shadow, Host})
    filter = Filter.new([])
    assert Filter.indexed_shape?(%{where: "n = 5"})
    Application.delete_env(:shape_router, :filter)
    filter = Filter.add_shape(filter, "a", shape("n = 5"))
    Filter.affected_shapes(filter, insert(%{"n" => "5"}))
    assert Filter.differences(filter).compared == 1
    assert Filter.new([]).module == ShapeRouter.Filter.Native
  end
end
