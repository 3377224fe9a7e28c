defmodule ShapeRouter.Filter.SubqueryConsumersTest do
  @moduledoc "Consumers are processes of their own: they feed at once, while the filter's owner goes on."
  use ExUnit.Case, async: true

  alias ShapeRouter.Changes.NewRecord
  alias ShapeRouter.{Error, Filter, Shape}
  alias ShapeRouter.Filter.SubqueryIndex

  @table {"public", "t"}
  @ref ["$sublink", "0"]
  @moduletag timeout: 300_000

  defp shape(:in), do: shape("a IN (SELECT v FROM p)")
  defp shape(:not_in), do: shape("a NOT IN (SELECT v FROM p)")
  defp shape(where), do: %Shape{root_table: @table, where: where, columns: [a: :int8]}

  defp affected(filter, value) do
    change = %NewRecord{relation: @table, record: %{"a" => "#{value}"}}
    Filter.affected_shapes(filter, change)
  end

  test "each is concerned by what it said as soon as it said it, and in the end all agree" do
    ids = for n <- 1..12, do: {n, Enum.at([:in, :not_in], rem(n, 2))}
    shapes = for {_, kind} = id <- ids, do: {id, shape(kind)}
    filter = Filter.new(filter: :native) |> Filter.add_shapes(shapes)
    index = Filter.subquery_index(filter)

    # The values 0 to 9 always are what the subquery selects, 1,000 and more never are.
    log = for n <- 1..200, do: {Enum.random([:add_value, :remove_value]), 10 + rem(n * 7, 20)}
    last = Enum.reduce(log, MapSet.new(0..9), &after_move/2)

    consumers =
      for {_, kind} = id <- ids do
        Task.async(fn ->
          SubqueryIndex.seed_membership(index, id, @ref, 0, MapSet.new(0..9))
          SubqueryIndex.mark_ready(index, id)

          for {move, value} <- log do
            :ok = apply(SubqueryIndex, move, [index, id, @ref, 0, value])
            has? = move == :add_value
            assert SubqueryIndex.member?(index, id, @ref, value) == has?
            # Whoever asks.
            if has? == (kind == :in), do: assert(id in affected(filter, value))
            assert id in affected(filter, if(kind == :in, do: 3, else: 1_003))
          end
        end)
      end

    {inside, outside} = Enum.split_with(ids, &(elem(&1, 1) == :in))
    owner = Task.async(fn -> ask_until_done(filter, inside, outside) end)
    Task.await_many(consumers, :infinity)
    send(owner.pid, :done)
    assert Task.await(owner, :infinity) > 0

    for value <- 0..31 do
      expected = if value in last, do: inside, else: outside
      assert affected(filter, value) == MapSet.new(expected)
    end
  end

  defp after_move({:add_value, value}, seen), do: MapSet.put(seen, value)
  defp after_move({:remove_value, value}, seen), do: MapSet.delete(seen, value)

  defp ask_until_done(filter, inside, outside, asked \\ 0) do
    assert MapSet.subset?(MapSet.new(inside), affected(filter, 5))
    assert MapSet.subset?(MapSet.new(outside), affected(filter, 1_005))

    receive do
      :done -> asked + 1
    after
      0 -> ask_until_done(filter, inside, outside, asked + 1)
    end
  end

  test "shapes come and go while others are fed, and those that go while they are fed raise" do
    filter = Filter.new(filter: :native) |> Filter.add_shape(:stays, shape(:in))
    index = Filter.subquery_index(filter)
    SubqueryIndex.seed_membership(index, :stays, @ref, 0, MapSet.new(1..100))
    SubqueryIndex.mark_ready(index, :stays)
    test = self()

    filter =
      Enum.reduce(1..60, filter, fn n, filter ->
        filter = Filter.add_shape(filter, n, shape(:in))
        {:ok, consumer} = Task.start(fn -> send(test, {n, feed_for_good(index, n, test)}) end)
        assert_receive {^n, :fed}, 10_000
        assert affected(filter, 50) == MapSet.new([:stays, n])
        filter = Filter.remove_shape(filter, n)
        monitor = Process.monitor(consumer)
        assert_receive {^n, :unknown_shape}, 10_000
        assert_receive {:DOWN, ^monitor, :process, _, :normal}, 10_000
        filter
      end)

    # Nothing of those that went is left.
    assert affected(filter, 5_000) == MapSet.new()
    assert affected(filter, 50) == MapSet.new([:stays])
    assert affected(filter, 100) == MapSet.new([:stays])
  end

  # Until the shape is gone; what else goes wrong is told as it is.
  defp feed_for_good(index, id, test) do
    SubqueryIndex.seed_membership(index, id, @ref, 0, MapSet.new(1..100))
    SubqueryIndex.mark_ready(index, id)
    send(test, {id, :fed})

    Enum.each(Stream.cycle(1..40), fn value ->
      SubqueryIndex.add_value(index, id, @ref, 0, 5_000 + value)
      SubqueryIndex.remove_value(index, id, @ref, 0, 5_000 + value)
    end)
  rescue
    error in Error -> error.code
  end

  defp seed(index, id, values) do
    SubqueryIndex.seed_membership(index, id, @ref, 0, values)
  rescue
    error in Error -> error.code
  end

  test "a shape goes while it is seeded" do
    for _ <- 1..10 do
      filter = Filter.new(filter: :native) |> Filter.add_shape(:stays, shape(:in))
      index = Filter.subquery_index(filter)
      SubqueryIndex.seed_membership(index, :stays, @ref, 0, [1])
      SubqueryIndex.mark_ready(index, :stays)
      filter = Filter.add_shape(filter, :goes, shape(:in))
      test = self()

      consumer =
        Task.async(fn ->
          send(test, :seeding)
          seed(index, :goes, 1..20_000)
        end)

      assert_receive :seeding, 10_000
      filter = Filter.remove_shape(filter, :goes)
      assert Task.await(consumer, :infinity) in [:ok, :unknown_shape]
      assert affected(filter, 1) == MapSet.new([:stays])
      assert affected(filter, 15_000) == MapSet.new()
    end
  end
end
