defmodule ShapeRouter.Demo.Progress do
  @moduledoc "A line each second."

  alias ShapeRouter.Demo.Statistics

  @doc "Prints until it is stopped (by the end of the process that started it, or `Task.shutdown/1`)."
  @spec start(Statistics.t(), non_neg_integer()) :: Task.t()
  def start(statistics, shapes) do
    Task.async(fn ->
      now = System.monotonic_time(:millisecond)
      loop(statistics, shapes, now, now, Statistics.get(statistics))
    end)
  end

  defp loop(statistics, shapes, started, last, before) do
    Process.sleep(1_000)
    now = System.monotonic_time(:millisecond)
    counts = Statistics.get(statistics)
    changes = counts.changes - before.changes

    IO.puts(
      Enum.join(
        [
          pad("#{div(now - started + 500, 1000)} s", 6),
          pad("#{number(div(changes * 1000, now - last))} changes/s", 18),
          pad("#{us(counts.route_ns - before.route_ns, changes)} µs a route", 20),
          pad("#{number(shapes)} shapes", 16),
          pad("#{number(counts.operations - before.operations)} operations", 22),
          pad("#{Float.round(counts.behind_ms / 1000, 1)} s behind", 14)
        ],
        ""
      )
    )

    loop(statistics, shapes, started, now, counts)
  end

  defp pad(text, width), do: String.pad_leading(text, width)

  @doc "Nanoseconds in all, over so many changes, in microseconds each."
  @spec us(integer(), integer()) :: String.t()
  def us(_ns, 0), do: "-"
  def us(ns, changes), do: :erlang.float_to_binary(ns / changes / 1000, decimals: 1)

  @doc "1234567 -> 1,234,567"
  @spec number(integer()) :: String.t()
  def number(integer) do
    integer
    |> Integer.to_string()
    |> String.reverse()
    |> String.replace(~r/(\d{3})(?=\d)/, "\\1,")
    |> String.reverse()
  end
end
