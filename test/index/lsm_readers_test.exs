defmodule ShapeRouter.Index.LsmReadersTest do
  # Readers on every scheduler, while others write, flush and so merge all the time.
  use ExUnit.Case, async: false

  alias ShapeRouter.Index.{LsmEqualityIndex, Protocol}
  alias ShapeRouter.Native

  @keys 3_000
  # What a key's rounds are numbered from; below are the slots that stay.
  @base 1_000_000
  @rounds 10_000

  @tag timeout: 120_000
  test "no answer is wrong during writes and merges" do
    run(2_000)
  end

  @tag :long
  @tag timeout: 300_000
  test "no answer is wrong during a minute of writes and merges" do
    run(60_000)
  end

  defp key(n), do: <<n::64>>
  defp slot(n, round), do: @base + n * @rounds + rem(round, @rounds)

  defp run(milliseconds) do
    {:ok, lanes} = Native.lanes_open(nil, 64)
    steady = for n <- 0..(@keys - 1), do: {:insert, key(n), n}
    :ok = Native.lanes_apply(lanes, nil, steady)
    # The rounds of each key that were begun, and those that were written.
    begun = :atomics.new(@keys, [])
    written = :atomics.new(@keys, [])
    ended = :atomics.new(1, [])
    quiet = readers(lanes, begun, written, :after_some)

    writers =
      for half <- 0..1, do: Task.async(fn -> write(lanes, half, begun, written, ended) end)

    flusher = Task.async(fn -> flush(lanes, ended, 0, 0) end)
    Process.send_after(self(), :end, milliseconds)
    during = readers(lanes, begun, written, ended)
    assert Enum.all?(Task.await_many(writers, 60_000), &(&1 > 100))
    {flushes, segments} = Task.await(flusher, 60_000)
    assert flushes > 3
    # Two flushes make a merge due.
    assert segments in 1..4
    assert %{degraded: false} = Native.lanes_stats(lanes)
    :ok = Native.lanes_close(lanes)
    assert Native.lanes_get(lanes, key(1)) == :degraded

    if milliseconds > 10_000 do
      for {name, times} <- [quiet: quiet, during: during], do: IO.puts(summary(name, times))
    end
  end

  # One reader for each scheduler, until `ended` is set: how long some of their calls took.
  defp readers(lanes, begun, written, ended) do
    parent = self()

    readers =
      for scheduler <- 1..:erlang.system_info(:schedulers_online) do
        read = fn ->
          seen = :atomics.new(@keys, [])
          send(parent, {self(), read(lanes, begun, written, ended, seen, 0, [])})
        end

        :erlang.spawn_opt(read, [:link, {:scheduler, scheduler}])
      end

    unless ended == :after_some do
      assert_receive :end, 120_000
      :atomics.put(ended, 1, 1)
    end

    for reader <- readers, reduce: [] do
      times ->
        assert_receive {^reader, {count, more}}, 60_000
        assert count > 1_000
        more ++ times
    end
  end

  defp read(lanes, begun, written, ended, seen, count, times) do
    n = :rand.uniform(@keys) - 1
    before = :atomics.get(written, n + 1)
    start = if rem(count, 16) == 0, do: System.monotonic_time(:nanosecond)
    slots = Native.lanes_get(lanes, key(n))
    times = if start, do: [System.monotonic_time(:nanosecond) - start | times], else: times
    later = :atomics.get(begun, n + 1)
    # A key may be given slots of another one that is like it: whoever asks sorts those out.
    own = n * @rounds + @base
    slots = Enum.filter(slots, &(&1 == n or &1 in own..(own + @rounds - 1)))
    check(n, slots, before, later, seen)

    ended? = if ended == :after_some, do: count >= 20_000, else: :atomics.get(ended, 1) == 1

    if ended?,
      do: {count, times},
      else: read(lanes, begun, written, ended, seen, count + 1, times)
  end

  # The slot that stays is there, and the rounds between what was written before and begun after; the
  # one before them may be there too, since it is taken away only after the next has come.
  defp check(n, [n], 0, _later, _seen), do: :ok

  defp check(n, [n | moving] = slots, before, later, seen) do
    rounds = for slot <- moving, do: slot - @base - n * @rounds

    unless rounds != [] and length(rounds) <= 2 and
             Enum.all?(rounds, &(&1 >= before - 1 and &1 <= later)) and
             Enum.max(rounds) >= max(before, :atomics.get(seen, n + 1)) do
      flunk("key #{n}: #{inspect(slots)} between rounds #{before} and #{later}")
    end

    :atomics.put(seen, n + 1, Enum.max(rounds))
  end

  defp check(n, slots, before, later, _seen),
    do: flunk("key #{n}: #{inspect(slots)} between rounds #{before} and #{later}")

  defp write(lanes, half, begun, written, ended, count \\ 0) do
    n = div(:rand.uniform(@keys) - 1, 2) * 2 + half
    round = :atomics.add_get(begun, n + 1, 1)
    # More rounds than there are slots for in a run that is this short there are not.
    true = round < @rounds
    insert = {:insert, key(n), slot(n, round)}
    remove = if round > 1, do: [{:remove, key(n), slot(n, round - 1)}], else: []

    case Native.lanes_apply(lanes, nil, [insert | remove]) do
      :ok -> :atomics.put(written, n + 1, round)
      {:error, error} -> flunk(inspect(error))
    end

    if :atomics.get(ended, 1) == 1,
      do: count + 1,
      else: write(lanes, half, begun, written, ended, count + 1)
  end

  defp flush(lanes, ended, flushes, _segments) do
    :ok = Native.lanes_flush(lanes)
    Process.sleep(20)
    segments = Native.lanes_stats(lanes).total_segments

    if :atomics.get(ended, 1) == 1,
      do: {flushes + 1, segments},
      else: flush(lanes, ended, flushes + 1, segments)
  end

  defp summary(name, times) do
    times = times |> Enum.sort() |> List.to_tuple()
    at = fn per_mille -> elem(times, div((tuple_size(times) - 1) * per_mille, 1000)) end
    "look-ups from Elixir, #{name}: p50 #{at.(500)} ns, p99 #{at.(990)} ns, p99.9 #{at.(999)} ns"
  end

  test "readers of the newest struct, while another process changes it" do
    index = Enum.reduce(1..200, LsmEqualityIndex.new(:int4), &Protocol.add_shape(&2, &1, &1, nil))
    table = :ets.new(:newest, [:public, read_concurrency: true])
    :ets.insert(table, {:index, index})
    parent = self()

    readers =
      for scheduler <- 1..:erlang.system_info(:schedulers_online) do
        read = fn -> send(parent, {self(), answered(table, 0, 300)}) end
        :erlang.spawn_opt(read, [:link, {:scheduler, scheduler}])
      end

    writer =
      Task.async(fn ->
        for n <- Stream.cycle(201..400), reduce: index do
          index ->
            index = Protocol.add_shape(index, n, n, nil)
            :ets.insert(table, {:index, index})
            index = Protocol.remove_shape(index, n, n, nil)
            :ets.insert(table, {:index, index})
            Process.sleep(1)
            index
        end
      end)

    for reader <- readers, do: assert_receive({^reader, 300}, 60_000)
    Task.shutdown(writer, :brutal_kill)
  end

  # So many answers, each right: a struct that is not the newest any more refuses to answer.
  defp answered(_table, wanted, wanted), do: wanted

  defp answered(table, count, wanted) do
    [{:index, index}] = :ets.lookup(table, :index)
    n = :rand.uniform(200)

    try do
      assert Protocol.affected_shapes(index, "v", %{"v" => n}, %{}) == MapSet.new([n])
      answered(table, count + 1, wanted)
    rescue
      error in ShapeRouter.Error ->
        assert error.code == :stale_index
        answered(table, count, wanted)
    end
  end
end
