# What routing costs and how much memory shapes take, for several numbers of shapes: the router and
# both modes of the filter, beside a random `:ets.lookup` in the same run.
#
#     bin/bench table [--quick] [--sizes 1000,10000,100000,1000000] [--rounds N] [--out DIR]
#
# Bytes are those that the router accounts for; `shape_bytes`, an example of the crate `shape_router`,
# compares them with what a process grows by. Prints a table; with `--out` it writes it to DIR as well, with the figures as JSON and charts of them.
# One scheduler does the work. docs/performance.md says how the figures are made.

for name <- ~w(measure workload chart), do: Code.require_file("support/#{name}.exs", __DIR__)

defmodule ShapeRouter.Bench.Table do
  import ShapeRouter.Bench.Measure
  import ShapeRouter.Bench.Workload

  alias ShapeRouter.Bench.Chart
  alias ShapeRouter.{Changes, Filter, Shape}

  @table {"public", "todos"}
  @sizes "1000,10000,100000,1000000"
  @quick "1000,10000,100000"
  # Filters are filled one shape after the other.
  @most_in_filters 100_000
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
      for mode <- [:native, :beam],
          size <= @most_in_filters,
          row <- own_heap(fn -> of_filter(mode, size, rounds, row) end),
          do: row
  end

  defp of_router(size, rounds, row) do
    {router, added} = router(:equality, size)
    route = &ShapeRouter.route(router, &1)
    batch = &ShapeRouter.route_batch(router, &1)
    accounted = ShapeRouter.metrics(router)["bytes_per_shape"]

    rows = [
      row.("router", "INSERT, miss", measure(miss(size), route, rounds, 1)),
      row.("router", "INSERT, 1 hit", measure(hit(size), route, rounds, 1)),
      row.("router", "UPDATE, 1 hit", measure(update(size), route, rounds, 1)),
      row.("router", "batch of 100, a change", measure(batch(size), batch, rounds, 100)),
      row.("router", "bytes a shape, as it accounts", %{bytes: accounted}),
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
    {us, filter} = :timer.tc(fn -> fill(Filter.new(filter: mode, keep_shapes: false), size) end)
    ask = &Filter.affected_shapes(filter, &1)
    name = "filter #{inspect(mode)}"

    [
      row.(name, "INSERT, miss", measure(as_struct(miss(size)), ask, rounds, 1)),
      row.(name, "INSERT, 1 hit", measure(as_struct(hit(size)), ask, rounds, 1)),
      row.(name, "UPDATE, 1 hit", measure(as_struct(update(size)), ask, rounds, 1)),
      row.(name, "adding one by one, us a shape", %{us: us / size})
    ]
  end

  defp fill(filter, size) do
    Enum.reduce(0..(size - 1), filter, fn user, filter ->
      Filter.add_shape(filter, "#{10_000_000 + user}-#{1_700_000_000_000_000 + user}", %Shape{
        root_table: @table,
        root_table_id: 16_385,
        root_pk: ["id"],
        root_column_count: length(columns()),
        where: %{query: "user_id = #{user}", used_refs: %{["user_id"] => :int8}, returns: :bool},
        selected_columns: for({name, _} <- columns(), do: Atom.to_string(name)),
        flags: %{selects_all_columns: true}
      })
    end)
  end

  # A host's change instead of a map.
  defp as_struct(make) do
    fn ->
      case make.() do
        %{op: :insert, new_record: new} ->
          %Changes.NewRecord{relation: @table, record: new}

        %{old_record: old, new_record: new} ->
          %Changes.UpdatedRecord{relation: @table, old_record: old, record: new}
      end
    end
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

    bytes = [{"router", "router", "bytes a shape, as it accounts"}]

    put.(
      "latency.svg",
      Chart.lines("user_id = K", "median ns a change", series.(:median, latency))
    )

    put.("memory.svg", Chart.lines("user_id = K", "bytes a shape", series.(:bytes, bytes)))
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
