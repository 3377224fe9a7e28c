defmodule ShapeRouter.Filter.BulkTest do
  @moduledoc "Many shapes told at once are what they are when they are told one by one."
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  alias ShapeRouter.Changes.NewRecord
  alias ShapeRouter.{Error, Filter, FilterWorkload, Shape}

  # A name of its own: others log meanwhile.
  @todos {"public", "told_at_once"}
  @columns [id: :int8, n: :int8, s: :text]
  @moduletag timeout: 300_000

  defp shape(where, fields \\ []),
    do: struct!(%Shape{root_table: @todos, where: where, columns: @columns}, fields)

  defp numbered(range), do: for(n <- range, do: {"handle #{n}", shape("n = #{n}")})
  defp insert(n), do: %NewRecord{relation: @todos, record: %{"id" => "1", "n" => "#{n}"}}

  defp affected(filter, change),
    do: filter |> Filter.affected_shapes(change) |> Enum.sort()

  for mode <- [:native, :beam] do
    describe "#{mode}:" do
      @mode mode
      # Above what is filed at a time, twice where that takes no time.
      @many if mode == :native, do: 10_000, else: 4_500

      test "random shapes, told at once or one by one, answer alike" do
        for seed <- 1..4 do
          {adds, changes} =
            seed |> FilterWorkload.steps(300, 400) |> Enum.split_with(&match?({:add, _, _}, &1))

          shapes = for {:add, id, shape} <- adds, do: {id, shape}
          one_by_one = Filter.new(filter: @mode)

          capture_log(fn ->
            one_by_one =
              Enum.reduce(shapes, one_by_one, fn {id, shape}, filter ->
                Filter.add_shape(filter, id, shape)
              end)

            at_once = Filter.add_shapes(Filter.new(filter: @mode), shapes)

            for {:change, change} <- changes do
              assert Filter.affected_shapes(at_once, change) ==
                       Filter.affected_shapes(one_by_one, change),
                     "seed #{seed}: #{inspect(change)}"
            end

            for {id, shape} <- shapes, do: assert(Filter.get_shape(at_once, id) == shape)

            for {id, _} <- shapes, reduce: at_once do
              filter -> Filter.remove_shape(filter, id)
            end
            |> then(&assert(Filter.active_shapes(&1) == []))
          end)
        end
      end

      test "they may come as a stream, beside those that are there" do
        filter = Filter.add_shapes(Filter.new(filter: @mode), numbered(1..10))
        stream = Stream.map(11..@many, &{"handle #{&1}", shape("n = #{&1}")})
        filter = filter |> Filter.add_shapes(stream) |> Filter.add_shapes([])

        for n <- [1, 10, 11, 4_096, 4_097, 4_106, 4_107, @many],
            do: assert(affected(filter, insert(n)) == ["handle #{n}"])

        assert affected(filter, insert(0)) == []
        assert length(Filter.active_shapes(filter)) == @many

        filter = Enum.reduce(1..@many, filter, &Filter.remove_shape(&2, "handle #{&1}"))
        assert Filter.active_shapes(filter) == []
        assert affected(filter, insert(1)) == []
      end

      test "where one is there already, none is added" do
        there = Filter.add_shapes(Filter.new(filter: @mode), numbered(1..3))
        twice = [{"handle 5", shape("n = 5")}]

        for shapes <- [
              numbered(4..10) ++ numbered(3..3),
              numbered(4..10) ++ twice,
              numbered(4..@many) ++ twice,
              Stream.concat(numbered(4..@many), numbered(1..1))
            ] do
          assert_raise Error, ~r/exists already/, fn -> Filter.add_shapes(there, shapes) end
          assert Enum.sort(Filter.active_shapes(there)) == Enum.map(1..3, &"handle #{&1}")
          assert affected(there, insert(2)) == ["handle 2"]
          assert affected(there, insert(5)) == []
          refute Filter.has_shape?(there, "handle 5")
        end

        filter = Filter.add_shapes(there, numbered(4..@many))
        assert affected(filter, insert(5)) == ["handle 5"]
      end

      test "where the enumerable raises, none is added" do
        broken =
          Stream.map(1..@many, &if(&1 < @many, do: {&1, shape("n = #{&1}")}, else: raise("no")))

        filter = Filter.new(filter: @mode)
        assert_raise RuntimeError, "no", fn -> Filter.add_shapes(filter, broken) end
        assert Filter.active_shapes(filter) == []
        filter = Filter.add_shapes(filter, numbered(1..2))
        assert affected(filter, insert(2)) == ["handle 2"]
      end

      test "clauses that are refused and other types of a column concern nobody else" do
        shapes =
          for n <- 1..500 do
            cond do
              rem(n, 100) == 0 -> {n, shape("n = now()")}
              rem(n, 50) == 0 -> {n, shape("n =")}
              rem(n, 7) == 0 -> {n, shape("n = 'text'", columns: [n: :text])}
              rem(n, 3) == 0 -> {n, shape("n = #{n}", root_table: {"public", "users"})}
              true -> {n, shape("n = #{n}")}
            end
          end

        log =
          capture_log(fn ->
            filter = Filter.add_shapes(Filter.new(filter: @mode), shapes)
            refused = Enum.take_every(50..500, 50)
            assert affected(filter, insert(1)) == [1 | refused]
            assert affected(filter, insert(3)) == refused
            assert affected(filter, %{insert(3) | relation: {"public", "users"}}) == [3]

            # Those of the other type see a text; those of this one cannot read it.
            text = affected(filter, %{insert(1) | record: %{"n" => "text"}})
            assert Enum.all?(Enum.take_every(7..500, 7) -- refused, &(&1 in text))

            filter = Enum.reduce(refused, filter, &Filter.remove_shape(&2, &1))
            assert affected(filter, insert(3)) == []
          end)

        for n <- Enum.take_every(50..500, 50),
            do: assert(log =~ "shape #{n} is concerned by every change of public.told_at_once")

        assert length(String.split(log, "every change of public.told_at_once")) == 11
      end
    end
  end

  defmodule Host do
    def new(_opts), do: []
    def add_shape(filter, id, _shape), do: [id | filter]
    def remove_shape(filter, id), do: List.delete(filter, id)
    def affected_shapes(filter, _change), do: MapSet.new(filter)
    def active_shapes(filter), do: filter
    def has_shape?(filter, id), do: id in filter
  end

  defmodule BulkHost do
    defdelegate new(opts), to: Host
    defdelegate affected_shapes(filter, change), to: Host
    def add_shapes(filter, shapes), do: Enum.map(shapes, &elem(&1, 0)) ++ filter
  end

  test "in the shadow both sides are told, the host's in its own way" do
    for host <- [Host, BulkHost] do
      filter =
        Filter.new(filter: {:shadow, host})
        |> Filter.add_shapes(Stream.map(1..2, & &1) |> Stream.map(&{&1, shape(nil)}))

      assert affected(filter, insert(7)) == [1, 2]
      assert Filter.differences(filter).failed == 0
      assert Filter.differences(filter).differing == 0
      assert Filter.memory_bytes(filter).ids > 0
    end
  end

  test "a limit of the routers holds for each shape by itself, as it does one by one" do
    capture_log(fn ->
      filter =
        Filter.new(filter: :native, router: [max_shapes: 5]) |> Filter.add_shapes(numbered(1..8))

      assert length(affected(filter, insert(0))) == 3
      assert length(affected(filter, insert(1))) == 4
    end)
  end
end
