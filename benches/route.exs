# What routing costs from Elixir, beside a random `:ets.lookup` in the same run.
#
#     bin/bench [--shapes N] [--rounds N] [--only REGEX]
#
# One scheduler does the work. A round times up to a thousand calls with inputs drawn at random before
# the clock starts, less what the empty loop costs (its median): `median` and `best` are those of the
# rounds. `p99` is of single calls, each between two readings of the clock, less what those cost. At
# the end stands how often a process held its scheduler for 1 ms or more: also when the system gave
# the processor to somebody else meanwhile, so that it tells something on a quiet machine only.

defmodule Bench do
  import Bitwise

  alias ShapeRouter.WalDecoder

  @columns [
    id: :int8,
    user_id: :int8,
    status: :text,
    priority: :int8,
    title: :text,
    tags: "text[]"
  ]

  # Not all kinds of shapes are meant by the million.
  @most %{range: 100_000, tags: 100_000, prefix: 100_000, infix: 100_000, scan: 10_000}
  @vocabulary 2_000

  def main(args) do
    known = [shapes: :integer, rounds: :integer, only: :string, help: :boolean]
    {opts, rest, bad} = OptionParser.parse(args, strict: known)

    if rest != [] or bad != [] or opts[:help] do
      IO.puts("usage: bin/bench route [--shapes N] [--rounds N] [--only REGEX]")
      System.halt(if opts[:help], do: 0, else: 2)
    end

    run(opts[:shapes] || 100_000, opts[:rounds] || 200, Regex.compile!(opts[:only] || ""))
  end

  defp run(shapes, rounds, only) do
    watch = watch()
    yardstick = yardstick(shapes, rounds)
    IO.puts("#{shapes} shapes, one scheduler, #{rounds} rounds, load #{load()}\n")

    IO.puts([
      pad("", 44),
      for(name <- ~w(median best p99), do: [String.pad_leading(name, 9), " ns"]),
      "    x ETS"
    ])

    row("random :ets.lookup", yardstick, yardstick)

    for {kind, rows} <- rows(),
        matching = Enum.filter(rows, &(elem(&1, 0) =~ only)),
        matching != [] do
      count = min(shapes, @most[kind] || shapes)
      {router, added_us} = router(kind, count)
      IO.puts("\n#{count} shapes #{clause(kind)} (added in #{Float.round(added_us, 2)} µs each)")

      for {name, per, make, call} <- matching do
        times = measure(make.(count), call.(router), rounds, per)
        row(name, times, yardstick)
      end

      metrics = ShapeRouter.metrics(router)
      IO.puts("accounted memory: #{round(metrics["bytes_per_shape"])} B a shape")
      ShapeRouter.close(router)
    end

    IO.puts("\nlong_schedule events (1 ms or more): #{events(watch)}, load at the end #{load()}")
  end

  defp yardstick(shapes, rounds) do
    table = :ets.new(:yardstick, [:set, :public])
    :ets.insert(table, for(n <- 0..(shapes - 1), do: {{1, "user_id", n}, n}))
    key = fn -> {1, "user_id", random(shapes)} end
    measure(key, &:ets.lookup(table, &1), rounds, 1)
  end

  # Per kind of shape: what is measured, how many changes a call has, how to make an input, the call.
  defp rows do
    route = fn router -> &ShapeRouter.route(router, &1) end
    batch = fn router -> &ShapeRouter.route_batch(router, &1) end

    [
      {:equality,
       [
         {"INSERT, miss", 1, &miss/1, route},
         {"INSERT, 1 hit", 1, &hit/1, route},
         {"UPDATE, 1 hit, old and new row", 1, &update/1, route},
         {"batch of 100, a change", 100, &batch/1, batch},
         {"route_wal, INSERT, miss", 1, &wal(miss(&1)), &wal_call/1},
         {"route_wal, INSERT, 1 hit", 1, &wal(hit(&1)), &wal_call/1},
         {"route_wal, 100 messages, a message", 100, &wal_batch/1, &wal_call/1}
       ]},
      {:tenfold, [{"INSERT, 10 hits", 1, &hit(div(&1, 10)), route}]},
      {:range,
       [
         {"priority > K, none match", 1, &priority(&1, 0), route},
         {"priority > K, 10 match", 1, &priority(&1, 10), route}
       ]},
      {:tags, [{"tags @> '{a,b}', 5 tags on the row", 1, &tags/1, route}]},
      {:prefix, [{"title LIKE 'prefix%', a title of 20 bytes", 1, &title/1, route}]},
      {:infix, [{"title LIKE '%infix%', a title of 20 bytes", 1, &title/1, route}]},
      {:scan, [{"length(title) > K, none match", 1, &title/1, route}]}
    ]
  end

  defp clause(:equality), do: "`user_id = K`"
  defp clause(:tenfold), do: "`user_id = K`, ten of each K"
  defp clause(:range), do: "`priority > K`"
  defp clause(:tags), do: "`tags @> '{a,b}'`, #{@vocabulary} tags in use"
  defp clause(:prefix), do: "`title LIKE 'prefix%'`"
  defp clause(:infix), do: "`title LIKE '%infix%'`"
  defp clause(:scan), do: "`length(title) > K`, which no index can hold"

  defp clause(:equality, id), do: "user_id = #{id}"
  defp clause(:tenfold, id), do: "user_id = #{div(id, 10)}"
  defp clause(:range, id), do: "priority > #{id}"
  defp clause(:tags, _id), do: "tags @> '{#{tag()},#{tag()}}'"
  defp clause(:prefix, id), do: "title LIKE '#{word(id)}%'"
  defp clause(:infix, id), do: "title LIKE '%#{word(id)}%'"
  defp clause(:scan, id), do: "length(title) > #{100 + id}"

  defp tag, do: "t#{random(@vocabulary)}"
  # Eight letters, as different as the numbers.
  defp word(id),
    do: for(n <- 0..7, into: "", do: <<?a + rem(div(id * 2_654_435_761, 26 ** n), 26)>>)

  defp router(kind, count) do
    {:ok, router} = ShapeRouter.new("bench", "todos", columns: @columns, primary_key: [:id])
    specs = for id <- 0..(count - 1), do: {id, clause(kind, id)}
    {us, :ok} = :timer.tc(fn -> ShapeRouter.add_shapes(router, specs) end)
    # What adding leaves to the background is over, and what that replaced is freed.
    :ok = ShapeRouter.rebuild(router)
    Process.sleep(300)
    {router, us / count}
  end

  # Inputs: each of these makes a function that makes one.

  defp record(fields) do
    Map.merge(
      %{
        "id" => "1",
        "user_id" => "1",
        "status" => "open",
        "priority" => "-1",
        "title" => "a title of two words",
        "tags" => "{}"
      },
      fields
    )
  end

  defp insert(fields), do: %{op: :insert, new_record: record(fields)}
  defp of_user(user), do: %{"user_id" => Integer.to_string(user)}

  defp miss(count), do: fn -> insert(of_user(count + random(count))) end
  defp hit(count), do: fn -> insert(of_user(random(count))) end

  defp update(count) do
    fn ->
      old = record(of_user(random(count)))
      %{op: :update, old_record: old, new_record: %{old | "title" => "another"}}
    end
  end

  # Half miss, a third hit, the rest are updates.
  defp batch(count) do
    {miss, hit, update} = {miss(count), hit(count), update(count)}
    kinds = List.duplicate(miss, 50) ++ List.duplicate(hit, 33) ++ List.duplicate(update, 17)
    fn -> for make <- kinds, do: make.() end
  end

  # Most shapes ask for more than any row has; the least `matching` do not.
  defp priority(count, matching) do
    if matching > count, do: raise("fewer shapes than are to match")
    fn -> insert(%{"priority" => Integer.to_string(matching)}) end
  end

  defp tags(_count),
    do: fn -> insert(%{"tags" => "{#{Enum.map_join(1..5, ",", fn _ -> tag() end)}}"}) end

  defp title(_count), do: fn -> insert(%{"title" => random_text(20)}) end

  defp random_text(bytes), do: for(_ <- 1..bytes, into: "", do: <<?a + random(26)>>)
  defp random(below), do: :rand.uniform(below) - 1

  # The same changes as pgoutput has them.

  defp wal(make), do: fn -> message(make.()) end

  defp wal_batch(count),
    do: (fn make -> fn -> Enum.map(make.(), &message/1) end end).(batch(count))

  defp message(%{op: :insert, new_record: new}), do: <<?I, 16_385::32, ?N>> <> tuple(new)

  defp message(%{op: :update, old_record: old, new_record: new}),
    do: <<?U, 16_385::32, ?O>> <> tuple(old) <> "N" <> tuple(new)

  defp tuple(record) do
    for {name, _} <- @columns, into: <<length(@columns)::16>> do
      value = Map.fetch!(record, Atom.to_string(name))
      <<?t, byte_size(value)::32, value::binary>>
    end
  end

  defp wal_call(router) do
    {:ok, decoder} = WalDecoder.new()
    oids = [id: 20, user_id: 20, status: 25, priority: 20, title: 25, tags: 1009]

    columns =
      for {name, oid} <- oids, into: <<length(oids)::16>> do
        <<if(name == :id, do: 1, else: 0), Atom.to_string(name)::binary, 0, oid::32, -1::32>>
      end

    relation = <<?R, 16_385::32, "public", 0, "todos", 0, ?f>> <> columns
    [] = ShapeRouter.route_wal(router, decoder, relation)
    &ShapeRouter.route_wal(router, decoder, &1)
  end

  # Measuring

  defp measure(make, call, rounds, per) do
    # A round is about half a millisecond, so that few of them are interrupted.
    {us, _} = :timer.tc(fn -> for(_ <- 1..20, input = make.(), do: call.(input)) end)
    calls = 1_000 |> min(div(20 * 500, max(us, 1))) |> max(10)

    # The first rounds warm up.
    {empty, full} =
      for round <- 1..(rounds + 3), reduce: {[], []} do
        {empty, full} ->
          inputs = for _ <- 1..calls, do: make.()
          :erlang.garbage_collect()
          loop = time(inputs, fn input -> input end)
          work = time(inputs, call)
          if round > 3, do: {[loop | empty], [work | full]}, else: {empty, full}
      end

    # The loop alone is short enough to be known well; a round of its own may have been interrupted.
    loop = empty |> Enum.sort() |> Enum.at(rounds >>> 1)
    times = for work <- Enum.sort(full), do: (work - loop) / calls / per
    %{median: Enum.at(times, rounds >>> 1), best: hd(times), p99: p99(make, call, calls) / per}
  end

  defp p99(make, call, calls) do
    singles = fn call ->
      for _ <- 1..max(div(5_000, calls), 1), reduce: [] do
        times ->
          inputs = for _ <- 1..calls, do: make.()
          :erlang.garbage_collect()
          Enum.reduce(inputs, times, &[time([&1], call) | &2])
      end
      |> Enum.sort()
    end

    clock = singles.(fn input -> input end)
    times = singles.(call)
    Enum.at(times, div(length(times) * 99, 100)) - Enum.at(clock, div(length(clock), 2))
  end

  defp time(inputs, call) do
    start = :erlang.monotonic_time(:nanosecond)
    loop(inputs, call)
    :erlang.monotonic_time(:nanosecond) - start
  end

  defp loop([], _call), do: :ok

  defp loop([input | rest], call) do
    call.(input)
    loop(rest, call)
  end

  # Calls that hold their scheduler. The making of inputs, which is Elixir's, is preempted in time.

  defp watch do
    watch = spawn_link(fn -> count(0) end)
    :erlang.system_monitor(watch, long_schedule: 1)
    watch
  end

  defp count(events) do
    receive do
      {:monitor, _, :long_schedule, _} -> count(events + 1)
      {:events, from} -> send(from, {:events, events})
    end
  end

  defp events(watch) do
    send(watch, {:events, self()})

    receive do
      {:events, events} -> events
    end
  end

  defp load do
    case File.read("/proc/loadavg") do
      {:ok, text} -> text |> String.split() |> hd()
      _ -> "unknown"
    end
  end

  defp row(name, times, yardstick) do
    IO.puts([
      pad(name, 44),
      for(key <- [:median, :best, :p99], do: [number(times[key], 9), " ns"]),
      number(times.median / yardstick.median, 9, 2)
    ])
  end

  defp pad(text, width), do: String.pad_trailing(text, width)

  defp number(number, width, decimals \\ 0),
    do:
      (number * 1.0)
      |> :erlang.float_to_binary(decimals: decimals)
      |> String.pad_leading(width)
end

Bench.main(System.argv())
