# What `ShapeRouter.Index.LsmEqualityIndex` costs from Elixir, beside `EqualityIndex`.
#
#     bin/bench index [--sizes 1000,10000] [--rounds N]
#
# One scheduler does the work. Adding is timed over the whole index; a look-up is the median of rounds
# of 2,000 keys drawn at random before the clock starts, less what the empty loop costs. Memory is what
# the process grew by, as the operating system says, after a garbage collection.

defmodule IndexBench do
  alias ShapeRouter.Index.{EqualityIndex, LsmEqualityIndex, Protocol}

  @calls 2_000

  def main(args) do
    {opts, rest, bad} = OptionParser.parse(args, strict: [sizes: :string, rounds: :integer])

    if rest != [] or bad != [] do
      IO.puts("usage: bin/bench index [--sizes 1000,10000] [--rounds N]")
      System.halt(2)
    end

    sizes = opts |> Keyword.get(:sizes, "1000,10000,100000,1000000") |> String.split(",")
    rounds = opts[:rounds] || 40
    Application.put_env(:shape_router, :lsm_above, :infinity)
    IO.puts("one shape a value, a value of type int8\n")

    IO.puts(
      "      values  index              add µs   hit ns  miss ns     heap B  outside B, a value"
    )

    for size <- Enum.map(sizes, &String.to_integer/1),
        {name, new} <- [
          {"EqualityIndex", fn -> EqualityIndex.new(:int8) end},
          {"LsmEqualityIndex", fn -> LsmEqualityIndex.new(:int8) end}
        ] do
      # A process of its own, so that its heap can be given back.
      Task.async(fn -> measure(name, new, size, rounds) end) |> Task.await(:infinity)
    end
  end

  defp measure(name, new, size, rounds) do
    {us, index} = :timer.tc(fn -> fill(new.(), size) end)
    :erlang.garbage_collect()
    heap = :erts_debug.flat_size(index) * :erlang.system_info(:wordsize)

    outside =
      if is_struct(index, LsmEqualityIndex), do: LsmEqualityIndex.stats(index).resident_bytes

    hit = median(index, fn -> :rand.uniform(size) end, rounds)
    miss = median(index, fn -> size + :rand.uniform(size) end, rounds)

    IO.puts([
      pad(size, 12),
      "  ",
      String.pad_trailing(name, 16),
      pad(us / size, 9, 2),
      pad(hit, 9),
      pad(miss, 9),
      pad(heap / size, 9),
      pad((outside || 0) / size, 9, 1)
    ])
  end

  defp fill(index, size),
    do: Enum.reduce(1..size, index, &Protocol.add_shape(&2, &1, &1, nil))

  defp median(index, key, rounds) do
    times =
      for _ <- 1..rounds do
        records = for _ <- 1..@calls, do: %{"v" => Integer.to_string(key.())}
        empty = time(records, fn record -> record end)
        full = time(records, &Protocol.affected_shapes(index, "v", &1, %{}))
        (full - empty) / @calls
      end

    times |> Enum.sort() |> Enum.at(div(rounds, 2))
  end

  defp time(records, call) do
    start = :erlang.monotonic_time(:nanosecond)
    Enum.each(records, call)
    :erlang.monotonic_time(:nanosecond) - start
  end

  defp pad(number, width, decimals \\ 0),
    do:
      (number * 1.0)
      |> :erlang.float_to_binary(decimals: decimals)
      |> String.pad_leading(width)
end

IndexBench.main(System.argv())
