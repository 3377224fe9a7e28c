defmodule ShapeRouter.Bench.Measure do
  @moduledoc """
  How calls are timed: in rounds of half a millisecond, less what the empty loop costs.
  """

  import Bitwise

  @type times :: %{median: float(), best: float(), p99: float()}

  @doc "Nanoseconds of a call with inputs that `make` makes; `per`: so many changes a call."
  def measure(make, call, rounds, per) do
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

  @doc "The machine's load of the last minute, as text."
  def load do
    case File.read("/proc/loadavg") do
      {:ok, text} -> text |> String.split() |> hd()
      _ -> "unknown"
    end
  end

  @doc "Resident bytes of this process that no file stands behind, as the operating system says."
  def resident do
    [_, kilobytes] = Regex.run(~r/^RssAnon:\s+(\d+) kB/m, File.read!("/proc/self/status"))
    1024 * String.to_integer(kilobytes)
  end

  @doc "The same when nothing has changed for a while: all garbage collected, merges in the background over."
  def settled(last \\ 0, tries \\ 40) do
    for pid <- Process.list(), do: :erlang.garbage_collect(pid)
    Process.sleep(500)
    now = resident()

    if tries == 0 or abs(now - last) < max(div(now, 500), 65_536),
      do: now,
      else: settled(now, tries - 1)
  end
end
