# How long calls hold a scheduler: hostile ones among them, in the parts that the library cuts them into.
#
#     bin/bench budget [--shapes 100000] [--seconds 2]
#
# Of each call of a NIF on a normal scheduler two times are taken: the processor time of its thread, which
# is the call's own, and the time on the clock, in which the system may have given the processor to
# somebody else. `long_schedule` events (a process that ran for 1 ms or more before another could)
# count both; beside those of each case stand those of a loop in Erlang, which the VM interrupts by
# itself, run as long right after it: what is beyond those is ours.

for name <- ~w(measure workload), do: Code.require_file("support/#{name}.exs", __DIR__)

defmodule ShapeRouter.Bench.Budget do
  import ShapeRouter.Bench.Measure
  import ShapeRouter.Bench.Workload

  alias ShapeRouter.Native

  def main(args) do
    {opts, rest, bad} = OptionParser.parse(args, strict: [shapes: :integer, seconds: :integer])

    if rest != [] or bad != [] do
      IO.puts("usage: bin/bench budget [--shapes 100000] [--seconds 2]")
      System.halt(2)
    end

    count = opts[:shapes] || 100_000
    span = 1_000_000_000 * (opts[:seconds] || 2)
    watch = spawn_link(fn -> watch(%{}) end)
    :erlang.system_monitor(watch, long_schedule: 1)

    IO.puts("#{count} shapes, load #{load()}\n")

    IO.puts([
      pad("calls of a NIF", 42),
      for(
        name <- ["calls", "median", "p99.9", "most us", "clock us", "over 1 ms", "long", "Erlang"],
        do: String.pad_leading(name, 11)
      )
    ])

    for {name, make} <- cases(count) do
      {times, ours} = watched(watch, fn -> repeat(make.(), now() + span, []) end)
      {_, control} = watched(watch, fn -> erlang(now() + span, 0) end)
      {cpu, clock} = Enum.unzip(times)
      cpu = Enum.sort(cpu)

      IO.puts([
        pad(name, 42),
        for(
          figure <- [
            length(cpu),
            us(at(cpu, 0.5)),
            us(at(cpu, 0.999)),
            us(List.last(cpu)),
            us(Enum.max(clock)),
            Enum.count(cpu, &(&1 > 1_000_000)),
            ours,
            control
          ],
          do: String.pad_leading("#{figure}", 11)
        )
      ])
    end

    IO.puts(
      "\nmedian, p99.9 and most: processor time of the calling thread; clock: the most on the clock;\n" <>
        "over 1 ms: calls of so much processor time; long, Erlang: long_schedule events, load #{load()}"
    )
  end

  # Each makes what is called again and again: a function that gives the first step of a call.
  defp cases(count) do
    rows = fn kind, make -> fn -> repeated(elem(router(kind, count), 0), make) end end

    [
      {"INSERT, miss", rows.(:equality, miss(count))},
      {"UPDATE, 1 hit", rows.(:equality, update(count))},
      {"batch of 10,000", fn -> batches(elem(router(:equality, count), 0), batch(count)) end},
      {"#{count} hits", fn -> crowd(count) end},
      {"10,000 x length(title) > K",
       fn -> repeated(elem(router(:scan, 10_000), 0), title(count)) end},
      {"TRUNCATE of #{count}", rows.(:equality, fn -> %{op: :truncate} end)},
      {"10,000 pgoutput messages",
       fn -> messages(elem(router(:equality, count), 0), hit(count)) end}
    ]
  end

  defp repeated(router, make), do: fn -> routed(router, make.()) end

  defp crowd(count) do
    {:ok, router} = ShapeRouter.new("bench", "todos", columns: columns(), primary_key: [:id])
    :ok = ShapeRouter.add_shapes(router, for(id <- 1..count, do: {id, "priority > 5"}))
    repeated(router, fn -> insert(%{"priority" => "6"}) end)
  end

  defp batches(router, make) do
    changes = Enum.concat(for _ <- 1..100, do: make.())
    fn -> batched(router, changes) end
  end

  defp messages(router, make) do
    {:ok, decoder} = ShapeRouter.WalDecoder.new()
    [] = ShapeRouter.route_wal(router, decoder, relation_message())
    messages = for _ <- 1..10_000, do: message(make.())
    fn -> sent(router, decoder, messages, nil) end
  end

  # A step is a call and what comes after its answer: the next step, or nothing.

  defp routed(router, change),
    do: {fn -> Native.router_route(router, change, 0) end, &went_on(&1, router, change)}

  defp went_on(ids, _router, _change) when is_list(ids), do: nil

  defp went_on({:more, cursor, _part}, router, change) do
    {fn -> Native.router_continue(router, change, 0, cursor) end, &went_on(&1, router, change)}
  end

  defp batched(router, changes) do
    {fn -> Native.router_route_batch(router, changes, 0) end,
     fn
       {:more, _answers, rest, nil, []} -> batched(router, rest)
       answers when is_list(answers) -> nil
     end}
  end

  defp sent(router, decoder, messages, from) do
    {fn -> Native.router_route_wal(router, decoder, 0, messages, from) end,
     fn
       {:more, _answers, rest, from, _part} -> sent(router, decoder, rest, from)
       answers when is_list(answers) -> nil
     end}
  end

  defp repeat(make, until, times) do
    times = steps(make.(), times)
    if now() < until, do: repeat(make, until, times), else: times
  end

  defp steps(nil, times), do: times

  defp steps({call, next}, times) do
    {thread, cpu} = Native.thread_clock()
    start = now()
    answer = call.()
    clock = now() - start
    {same, after_cpu} = Native.thread_clock()
    # Where the process went to another scheduler meanwhile, there is no difference to take.
    times = if same == thread, do: [{after_cpu - cpu, clock} | times], else: times
    steps(next.(answer), times)
  end

  defp erlang(until, sum) do
    if now() < until, do: erlang(until, Enum.reduce(1..1_000, sum, &(&1 + &2))), else: sum
  end

  # Runs in a process of its own, and says how many events that one had.
  defp watched(watch, run) do
    task = Task.async(run)
    result = Task.await(task, :infinity)
    send(watch, {:events, self(), task.pid})

    receive do
      {:events, events} -> {result, events}
    end
  end

  defp watch(counts) do
    receive do
      {:monitor, pid, :long_schedule, _} ->
        watch(Map.update(counts, pid, 1, &(&1 + 1)))

      {:events, from, pid} ->
        send(from, {:events, Map.get(counts, pid, 0)})
        watch(counts)
    end
  end

  defp now, do: :erlang.monotonic_time(:nanosecond)

  defp at(sorted, share),
    do: Enum.at(sorted, min(trunc(length(sorted) * share), length(sorted) - 1))

  defp us(ns), do: Float.round(ns / 1_000, 1)
  defp pad(text, width), do: String.pad_trailing(text, width)
end

ShapeRouter.Bench.Budget.main(System.argv())
