# What routing costs from Elixir, beside a random `:ets.lookup` in the same run.
#
#     bin/bench [--shapes N] [--rounds N] [--only REGEX]
#
# One scheduler does the work. A round times up to a thousand calls with inputs drawn at random before
# the clock starts, less what the empty loop costs (its median): `median` and `best` are those of the
# rounds. `p99` is of single calls, each between two readings of the clock, less what those cost.
# How long single calls hold a scheduler is what `bin/bench budget` tells.

for name <- ~w(measure workload), do: Code.require_file("support/#{name}.exs", __DIR__)

defmodule Bench do
  import ShapeRouter.Bench.Measure
  import ShapeRouter.Bench.Workload

  alias ShapeRouter.WalDecoder

  # Not all kinds of shapes are meant by the million.
  @most %{range: 100_000, tags: 100_000, prefix: 100_000, infix: 100_000, scan: 10_000}

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

    IO.puts("\nload at the end #{load()}")
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

  # The same changes as pgoutput has them.

  defp wal(make), do: fn -> message(make.()) end

  defp wal_batch(count),
    do: (fn make -> fn -> Enum.map(make.(), &message/1) end end).(batch(count))

  defp wal_call(router) do
    {:ok, decoder} = WalDecoder.new()
    [] = ShapeRouter.route_wal(router, decoder, relation_message())
    &ShapeRouter.route_wal(router, decoder, &1)
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
