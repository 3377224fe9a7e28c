# What routing costs and how much memory shapes take, for several numbers of shapes: the router and
# both modes of the filter, beside a random `:ets.lookup` in the same run.
#
#     bin/bench table [--quick] [--sizes 1000,10000,100000,1000000] [--rounds N] [--out DIR]
#
# Bytes a shape are what a VM of its own grows by, as the operating system says (benches/bytes.exs).
# Prints a table; with `--out` it writes it to DIR as well, with the figures as JSON and charts of them.
# One scheduler does the work. docs/performance.md says how the figures are made.

for name <- ~w(measure workload chart), do: Code.require_file("support/#{name}.exs", __DIR__)

defmodule ShapeRouter.Bench.Table do
  import ShapeRouter.Bench.Measure
  import ShapeRouter.Bench.Workload

  alias ShapeRouter.Bench.Chart
  alias ShapeRouter.Filter

  @sizes "1000,10000,100000,1000000"
  @quick "1000,10000,100000"
  # The filter in Elixir takes 1.7 kB a shape and a tenth of a millisecond to add one.
  @most_in_beam 100_000
  # Below this, what a VM takes in any case drowns what shapes take.
  @least_weighed 100_000
  @filter {__MODULE__, :filter}
  # Kinds of clauses, and how many shapes they are measured with.
  @kinds [
    {:range, 100_000, "priority > K, none match", [0]},
    {:range, 100_000, "priority > K, 10 match", [10]},
    {:tags, 100_000, "tags @> '{a,b}', 5 tags", []},
    {:prefix, 100_000, "title LIKE 'prefix%'", []},
    {:infix, 100_000, "title LIKE '%infix%'", []},
    {:scan, 10_000, "length(title) > K, 10,000", []}
  ]

  def main(args) do
    known = [quick: :boolean, sizes: :string, rounds: :integer, out: :string]
    {opts, rest, bad} = OptionParser.parse(args, strict: known)

    if rest != [] or bad != [] do
      IO.puts("usage: bin/bench table [--quick] [--sizes 1000,10000] [--rounds N] [--out DIR]")
      System.halt(2)
    end

    quick? = opts[:quick] == true
    sizes = opts[:sizes] || if(quick?, do: @quick, else: @sizes)
    sizes = sizes |> String.split(",") |> Enum.map(&String.to_integer/1)
    rounds = opts[:rounds] || if(quick?, do: 40, else: 200)
    most = Enum.max(sizes)

    start = load()

    by_size = for size <- sizes, row <- own_heap(fn -> of_size(size, rounds) end), do: row
    kinds = own_heap(fn -> of_kinds(most, rounds) end)
    text = text(by_size, kinds, sizes, rounds, start)
    IO.puts(text)
    if opts[:out], do: write(opts[:out], text, by_size, kinds, rounds, start)
  end

  # What a measurement leaves is gone with its process.
  defp own_heap(run) do
    result = run |> Task.async() |> Task.await(:infinity)
    :erlang.garbage_collect()
    result
  end

  defp of_size(size, rounds) do
    ets = own_heap(fn -> yardstick(size, rounds) end)
    row = &row(size, &1, &2, &3, ets)

    [row.("ets", "lookup", ets)] ++
      own_heap(fn -> of_router(size, rounds, row) end) ++
      for(
        mode <- [:native, :beam],
        mode == :native or size <= @most_in_beam,
        row <- own_heap(fn -> of_filter(mode, size, rounds, row) end),
        do: row
      ) ++
      for {who, what, kind, most} <- weighed(),
          size >= @least_weighed and size <= most,
          do: row.(who, what, %{bytes: weigh(kind, size)})
  end

  defp weighed do
    [
      {"router", "bytes a shape", "router", :infinity},
      {"filter :native", "bytes a shape", "filter_native", :infinity},
      {"filter :native", "the same, shapes kept", "filter_native_with_shapes", :infinity},
      {"filter :beam", "bytes a shape", "filter_beam", @most_in_beam}
    ]
  end

  # The VM keeps nothing for itself of what it needs no more, so that all growth is shapes.
  defp weigh(kind, size) do
    args = ["run", "--no-compile", Path.join(__DIR__, "bytes.exs"), kind, "#{size}"]
    {out, 0} = System.cmd("mix", args, env: [{"ERL_FLAGS", "+MMmcs 0"}])
    [_, bytes] = Regex.run(~r/bytes a shape: ([0-9.]+)/, out)
    String.to_float(bytes)
  end

  defp of_router(size, rounds, row) do
    {router, added} = router(:equality, size)
    route = &ShapeRouter.route(router, &1)
    batch = &ShapeRouter.route_batch(router, &1)

    rows = [
      row.("router", "INSERT, miss", measure(miss(size), route, rounds, 1)),
      row.("router", "INSERT, 1 hit", measure(hit(size), route, rounds, 1)),
      row.("router", "UPDATE, 1 hit", measure(update(size), route, rounds, 1)),
      row.("router", "batch of 100, a change", measure(batch(size), batch, rounds, 100)),
      row.("router", "adding in bulk, us a shape", %{us: added})
    ]

    ShapeRouter.close(router)
    {router, _} = router(:tenfold, size)
    route = &ShapeRouter.route(router, &1)
    ten = measure(hit(div(size, 10)), route, rounds, 1)
    ShapeRouter.close(router)
    rows ++ [row.("router", "INSERT, 10 hits", ten)]
  end

  defp of_filter(mode, size, rounds, row) do
    # Filled elsewhere, and where no process has it in its heap to collect again and again.
    us = own_heap(fn -> filled(mode, size) end)
    filter = :persistent_term.get(@filter)
    ask = &Filter.affected_shapes(filter, &1)
    name = "filter #{inspect(mode)}"

    rows = [
      row.(name, "INSERT, miss", measure(host_change(miss(size)), ask, rounds, 1)),
      row.(name, "INSERT, 1 hit", measure(host_change(hit(size)), ask, rounds, 1)),
      row.(name, "UPDATE, 1 hit", measure(host_change(update(size)), ask, rounds, 1)),
      row.(name, "adding in bulk, us a shape", %{us: us})
    ]

    :persistent_term.erase(@filter)
    rows
  end

  defp filled(mode, size) do
    shapes = host_shapes(size)
    empty = Filter.new(filter: mode, keep_shapes: false)
    {us, filter} = :timer.tc(fn -> Filter.add_shapes(empty, shapes) end)
    :persistent_term.put(@filter, filter)
    us / size
  end

  defp of_kinds(most, rounds) do
    for {kind, count, name, args} <- @kinds do
      count = min(count, most)
      {router, _} = router(kind, count)
      times = measure(input(kind, count, args), &ShapeRouter.route(router, &1), rounds, 1)
      ShapeRouter.close(router)
      Map.merge(times, %{clause: name, shapes: count})
    end
  end

  defp input(:range, count, [matching]), do: priority(count, matching)
  defp input(:tags, count, _), do: tags(count)
  defp input(_, count, _), do: title(count)

  defp row(size, who, what, figures, ets) do
    row = Map.merge(figures, %{shapes: size, who: who, what: what})
    if figures[:median], do: Map.put(row, :times_ets, figures.median / ets.median), else: row
  end

  # Output

  defp text(by_size, kinds, sizes, rounds, load) do
    names = by_size |> Enum.map(&{&1.who, &1.what}) |> Enum.uniq()

    lines =
      for {who, what} = name <- names do
        cells =
          for size <- sizes do
            row = Enum.find(by_size, &({&1.who, &1.what} == name and &1.shapes == size))
            cell(row)
          end

        [pad(who, 16), pad(what, 32), cells]
      end

    IO.iodata_to_binary([
      "#{rounds} rounds, one scheduler, load #{load} to #{load()}; median (p99) in ns, and beside :ets.lookup\n\n",
      [pad("", 48), for(size <- sizes, do: String.pad_leading("#{size} shapes", 28)), "\n"],
      Enum.intersperse(lines, "\n"),
      "\n\n",
      for kind <- kinds do
        [pad(kind.clause, 34), String.pad_leading("#{kind.shapes} shapes", 15), cell(kind), "\n"]
      end
    ])
  end

  defp cell(nil), do: pad("", 28)
  defp cell(%{bytes: bytes}), do: String.pad_leading("#{round(bytes)} B", 28)
  defp cell(%{us: us}), do: String.pad_leading("#{Float.round(us / 1, 2)} us", 28)

  defp cell(row) do
    times =
      if row[:times_ets], do: "#{:erlang.float_to_binary(row.times_ets, decimals: 2)} x", else: ""

    times = String.pad_leading(times, 8)
    String.pad_leading("#{round(row.median)} (#{round(row.p99)})#{times}", 28)
  end

  defp pad(text, width), do: String.pad_trailing(text, width)

  defp write(directory, text, by_size, kinds, rounds, load) do
    File.mkdir_p!(directory)
    put = fn name, content -> File.write!(Path.join(directory, name), content) end
    machine = System.get_env("SHAPE_ROUTER_BENCH_MACHINE", "")
    put.("table.txt", [machine, "\n\n", text])

    put.("figures.json", [
      json(%{
        machine: String.replace(machine, ~r/\s+/, " "),
        rounds: rounds,
        load: load,
        elixir: System.version(),
        otp: List.to_string(:erlang.system_info(:otp_release)),
        schedulers: System.schedulers_online(),
        by_size: by_size,
        kinds: kinds
      }),
      "\n"
    ])

    series = fn key, wanted ->
      for {name, who, what} <- wanted do
        rows = Enum.filter(by_size, &(&1.who == who and &1.what == what))
        {name, for(row <- rows, do: {row.shapes, max(Map.fetch!(row, key), 1)})}
      end
    end

    latency = [
      {":ets.lookup", "ets", "lookup"},
      {"miss", "router", "INSERT, miss"},
      {"1 hit", "router", "INSERT, 1 hit"},
      {"UPDATE, 1 hit", "router", "UPDATE, 1 hit"},
      {"10 hits", "router", "INSERT, 10 hits"},
      {"filter :native, hit", "filter :native", "INSERT, 1 hit"},
      {"filter :beam, hit", "filter :beam", "INSERT, 1 hit"}
    ]

    put.(
      "latency.svg",
      Chart.lines("user_id = K", "median ns a change", series.(:median, latency))
    )

    most =
      by_size |> Enum.filter(& &1[:bytes]) |> Enum.map(& &1.shapes) |> Enum.max(fn -> nil end)

    weights =
      for %{bytes: bytes} = row <- by_size,
          row.shapes == most or row.who == "filter :beam",
          do: {"#{row.who}, #{row.what} of #{row.shapes}", bytes}

    if weights != [],
      do: put.("memory.svg", Chart.bars("user_id = K", "bytes a shape", weights))

    bars = for kind <- kinds, do: {kind.clause, kind.median}

    put.(
      "clauses.svg",
      Chart.bars("#{hd(kinds).shapes} shapes by kind of clause", "median ns a change", bars)
    )
  end

  defp json(map) when is_map(map) do
    pairs = for {key, value} <- Enum.sort(map), do: [json("#{key}"), ": ", json(value)]
    ["{", Enum.intersperse(pairs, ", "), "}"]
  end

  defp json(list) when is_list(list),
    do: ["[\n  ", Enum.intersperse(Enum.map(list, &json/1), ",\n  "), "\n]"]

  defp json(number) when is_float(number), do: :erlang.float_to_binary(number, decimals: 2)
  defp json(number) when is_integer(number), do: Integer.to_string(number)

  # Names and versions: letters, digits and signs that JSON takes as they are, but for these.
  defp json(text) when is_binary(text),
    do: [?", text |> String.replace("\\", "\\\\") |> String.replace("\"", "\\\""), ?"]
end

ShapeRouter.Bench.Table.main(System.argv())
