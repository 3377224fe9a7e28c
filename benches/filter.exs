# What `ShapeRouter.Filter.affected_shapes` costs, in its modes :native and :beam, beside a random
# `:ets.lookup` in the same run.
#
#     bin/bench filter [--sizes 1000,100000] [--rounds N]
#
# One scheduler does the work; shapes are `user_id = K` and have handles of 25 bytes. A round times a
# thousand calls with keys drawn at random before the clock starts; the figure is the median of the
# rounds, less what the empty loop costs. Memory is what the process grew by, as the operating system
# says, after garbage collections; beside it, what the filter itself says of it.

defmodule FilterBench do
  alias ShapeRouter.{Changes, Filter, Shape}

  @calls 1_000
  @table {"public", "todos"}
  @columns ~w(id user_id status priority title done)

  def main(args) do
    {opts, rest, bad} = OptionParser.parse(args, strict: [sizes: :string, rounds: :integer])

    if rest != [] or bad != [] do
      IO.puts("usage: bin/bench filter [--sizes 1000,100000] [--rounds N]")
      System.halt(2)
    end

    sizes = opts |> Keyword.get(:sizes, "1000,100000") |> String.split(",")
    rounds = opts[:rounds] || 60

    IO.puts(
      "    shapes  mode        ETS ns   miss ns    hit ns  update ns   add µs   B a shape  of them: routers  ids  shapes"
    )

    # Each in a process and with a heap of its own.
    for size <- Enum.map(sizes, &String.to_integer/1), mode <- [:native, :beam] do
      Task.async(fn -> measure(mode, size, rounds) end) |> Task.await(:infinity)
      :erlang.garbage_collect()
    end
  end

  defp measure(mode, size, rounds) do
    ets = :ets.new(:yardstick, [:set])
    :ets.insert(ets, for(n <- 1..size, do: {{1, "user_id", n}, n}))
    keys = fn -> {1, "user_id", :rand.uniform(size)} end
    yardstick = median(keys, &:ets.lookup(ets, &1), rounds)
    :ets.delete(ets)

    before = resident()
    {us, filter} = :timer.tc(fn -> fill(Filter.new(filter: mode), size) end)
    :erlang.garbage_collect()
    grown = resident() - before
    of_them = Filter.memory_bytes(filter)

    ask = &Filter.affected_shapes(filter, &1)
    random = fn -> :rand.uniform(size) end
    1 = MapSet.size(ask.(insert(random.())))
    0 = MapSet.size(ask.(insert(size + random.())))

    miss = median(fn -> insert(size + random.()) end, ask, rounds)
    hit = median(fn -> insert(random.()) end, ask, rounds)
    update = median(fn -> update(random.()) end, ask, rounds)

    IO.puts([
      pad(size, 10),
      "  ",
      String.pad_trailing(inspect(mode), 8),
      pad(yardstick, 10),
      pad(miss, 10),
      pad(hit, 10),
      pad(update, 11),
      pad(us / size, 9, 1),
      pad(grown / size, 12),
      pad(of_them.routers / size, 18),
      pad(of_them.ids / size, 5),
      pad(of_them.shapes / size, 8)
    ])
  end

  defp fill(filter, size) do
    Enum.reduce(1..size, filter, fn user, filter ->
      handle = "#{10_000_000 + user}-#{1_700_000_000_000_000 + user}"
      Filter.add_shape(filter, handle, shape(user))
    end)
  end

  # As a host has it: the clause's text with the types of its columns, and what else it keeps.
  defp shape(user) do
    %Shape{
      root_table: @table,
      root_table_id: 16_385,
      root_pk: ["id"],
      root_column_count: length(@columns),
      where: %{query: "user_id = #{user}", used_refs: %{["user_id"] => :int8}, returns: :bool},
      selected_columns: @columns,
      flags: %{selects_all_columns: true}
    }
  end

  defp insert(user), do: %Changes.NewRecord{relation: @table, record: record(user)}

  defp update(user) do
    old = record(user)

    %Changes.UpdatedRecord{
      relation: @table,
      record: %{old | "title" => "another"},
      old_record: old
    }
  end

  defp record(user) do
    %{
      "id" => "1",
      "user_id" => Integer.to_string(user),
      "status" => "open",
      "priority" => "3",
      "title" => "a title",
      "done" => "f"
    }
  end

  defp median(make, call, rounds) do
    times =
      for round <- 1..(rounds + 3), reduce: [] do
        times ->
          inputs = for _ <- 1..@calls, do: make.()
          :erlang.garbage_collect()
          empty = time(inputs, fn input -> input end)
          full = time(inputs, call)
          # The first rounds warm up.
          if round > 3, do: [(full - empty) / @calls | times], else: times
      end

    times |> Enum.sort() |> Enum.at(div(rounds, 2))
  end

  defp time(inputs, call) do
    start = System.monotonic_time(:nanosecond)
    Enum.each(inputs, call)
    System.monotonic_time(:nanosecond) - start
  end

  defp resident do
    [_size, resident | _] = "/proc/self/statm" |> File.read!() |> String.split()
    String.to_integer(resident) * 4096
  end

  defp pad(number, width, decimals \\ 0) do
    (number * 1.0)
    |> :erlang.float_to_binary(decimals: decimals)
    |> String.pad_leading(width)
  end
end

FilterBench.main(System.argv())
