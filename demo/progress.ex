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
          pad("#{number(shapes)} shapes", 16),
          pad("#{number(counts.entries - before.entries)} entries logged", 24),
          pad("#{Float.round(counts.behind_ms / 1000, 1)} s behind", 14)
        ],
        ""
      )
    )

    loop(statistics, shapes, started, now, counts)
  end

  defp pad(text, width), do: String.pad_leading(text, width)

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
