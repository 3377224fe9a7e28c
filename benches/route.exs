# What `route` costs from Elixir, beside a random `:ets.lookup` in the same run.
#
#     bin/bench [--shapes N] [--rounds N]
#
# One scheduler does the work. A round times a few thousand calls with keys drawn at random before
# the clock starts; the figure is the median of the rounds, less what the empty loop costs.

defmodule Bench do
  import Bitwise

  @columns [id: :int8, user_id: :int8, status: :text, priority: :int4, title: :text, done: :bool]

  def main(args) do
    {opts, rest, bad} =
      OptionParser.parse(args, strict: [shapes: :integer, rounds: :integer, help: :boolean])

    if rest != [] or bad != [] or opts[:help] do
      IO.puts("usage: bin/bench [--shapes N] [--rounds N]")
      System.halt(if opts[:help], do: 0, else: 2)
    end

    run(opts[:shapes] || 100_000, opts[:rounds] || 60)
  end

  defp run(shapes, rounds) do
    {router, added_us} = router(shapes)
    table = :ets.new(:yardstick, [:set, :public])
    :ets.insert(table, for(n <- 0..(shapes - 1), do: {{1, "user_id", n}, n}))
    calls = 4_000
    random = fn -> :rand.uniform(shapes) - 1 end

    ets = fn -> {1, "user_id", random.()} end

    record = fn user ->
      %{
        "id" => "1",
        "user_id" => Integer.to_string(user),
        "status" => "open",
        "priority" => "3",
        "title" => "a title",
        "done" => "f"
      }
    end

    miss = fn -> %{op: :insert, new_record: record.(shapes + random.())} end
    hit = fn -> %{op: :insert, new_record: record.(random.())} end

    update = fn ->
      old = record.(random.())
      %{op: :update, old_record: old, new_record: %{old | "title" => "another"}}
    end

    batch = fn ->
      for n <- 1..100 do
        cond do
          n <= 50 -> miss.()
          n <= 83 -> hit.()
          true -> update.()
        end
      end
    end

    yardstick = measure(ets, &:ets.lookup(table, &1), calls, rounds)

    rows = [
      {"random :ets.lookup", yardstick},
      {"route, INSERT, miss", measure(miss, &ShapeRouter.route(router, &1), calls, rounds)},
      {"route, INSERT, 1 hit", measure(hit, &ShapeRouter.route(router, &1), calls, rounds)},
      {"route, UPDATE, 1 hit, old and new row",
       measure(update, &ShapeRouter.route(router, &1), calls, rounds)},
      {"route_batch of 100, a change",
       measure(batch, &ShapeRouter.route_batch(router, &1), 40, rounds) / 100}
    ]

    IO.puts("#{shapes} shapes `user_id = K`, median of #{rounds} rounds, one scheduler\n")

    for {name, ns} <- rows do
      IO.puts([
        String.pad_trailing(name, 40),
        pad(ns, 8),
        " ns",
        pad(ns / yardstick, 8, 2),
        " x ETS"
      ])
    end

    metrics = ShapeRouter.metrics(router)

    IO.puts(
      "\nadding a shape, in bulk: #{Float.round(added_us, 2)} µs; accounted memory: #{round(metrics["bytes_per_shape"])} B a shape"
    )
  end

  defp router(shapes) do
    {:ok, router} = ShapeRouter.new("bench", "todos", columns: @columns, primary_key: [:id])
    specs = for id <- 0..(shapes - 1), do: {id, "user_id = #{id}"}
    {us, :ok} = :timer.tc(fn -> ShapeRouter.add_shapes(router, specs) end)
    {router, us / shapes}
  end

  defp measure(make, call, calls, rounds) do
    times =
      for round <- 1..(rounds + 3), reduce: [] do
        times ->
          inputs = for _ <- 1..calls, do: make.()
          :erlang.garbage_collect()
          empty = time(inputs, fn input -> input end)
          full = time(inputs, call)
          # The first rounds warm up.
          if round > 3, do: [(full - empty) / calls | times], else: times
      end

    times |> Enum.sort() |> Enum.at(rounds >>> 1)
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

  defp pad(number, width, decimals \\ 0),
    do:
      number
      |> Kernel.*(1.0)
      |> :erlang.float_to_binary(decimals: decimals)
      |> String.pad_leading(width)
end

Bench.main(System.argv())
