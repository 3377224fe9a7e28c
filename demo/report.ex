defmodule ShapeRouter.Demo.Report do
  @moduledoc "What a run has to tell."

  alias ShapeRouter.Demo.{Progress, Reader, Verify}

  @operations ~w(insert update delete rekey upsert truncate unknown)

  @doc "Prints it."
  @spec print(map()) :: :ok
  def print(%{counts: counts, readers: readers, followers: followers} = result) do
    n = &Progress.number/1
    {read_again, elsewhere} = result.read_again
    bytes = readers |> Enum.map(& &1.bytes) |> Enum.sum()
    rate = div(bytes * 1000, max(result.read_ms, 1))

    IO.puts("""

      changes     #{n.(counts.changes)} in #{n.(counts.transactions)} transactions: \
    #{n.(counts.inserts)} inserts, #{n.(counts.updates)} updates \
    (#{n.(counts.key_changes)} of the key, #{n.(counts.left_out)} without the large column), \
    #{n.(counts.deletes)} deletes, #{n.(counts.truncates)} truncates
      logs        #{n.(counts.entries)} entries, #{n.(counts.flushes)} flushes; \
    rows that the WAL did not carry whole were read #{n.(counts.rows_read)} times
      read back   #{n.(operations(readers) |> Map.values() |> Enum.sum())} operations, #{mebibytes(bytes)} \
    in #{Float.round(result.read_ms / 1000, 1)} s (#{mebibytes(rate)} a second): #{classes(readers)}
      answers     #{paths(readers)}; to live clients: #{paths(followers)}
      live        #{length(followers)} clients, #{result.joined} of them from the middle on; \
    #{n.(followers |> Enum.map(& &1.reconnects) |> Enum.sum())} reconnected
      subqueries  #{subqueries(readers)}
      read again  #{n.(read_again)} rows, #{n.(elsewhere)} of them of shapes that do not read the large column\
    #{crash(result.crash, counts)}
    """)
  end

  defp subqueries(readers) do
    readers = Verify.with_subqueries(readers)
    rows = readers |> Enum.map(&map_size(&1.copy.rows)) |> Enum.sum()
    "#{length(readers)} shapes with #{Progress.number(rows)} rows: #{classes(readers)}"
  end

  defp crash(nil, _counts), do: ""

  defp crash(crash, counts) do
    "\n  crash       after #{Progress.number(crash.before.transactions)} transactions; away for " <>
      "#{crash.away_ms} ms; #{Progress.number(counts.sent_again)} transactions came again"
  end

  @doc "How many operations were read, by class."
  @spec operations([Reader.t()]) :: %{String.t() => pos_integer()}
  def operations(readers), do: sum(readers, & &1.copy.counts)

  @doc "How many answers came which way."
  @spec answers([Reader.t()]) :: %{atom() => pos_integer()}
  def answers(readers), do: sum(readers, & &1.answers)

  defp sum(readers, counts) do
    Enum.reduce(readers, %{}, &Map.merge(&2, counts.(&1), fn _, a, b -> a + b end))
  end

  defp classes(readers) do
    counts = operations(readers)

    for(name <- @operations, count = counts[name], do: "#{Progress.number(count)} #{name}")
    |> Enum.join(", ")
  end

  defp paths(readers) do
    counts = answers(readers)

    Enum.map_join(Reader.kinds(), ", ", fn kind ->
      "#{Progress.number(Map.get(counts, kind, 0))} #{kind}"
    end)
  end

  defp mebibytes(bytes), do: "#{Float.round(bytes / 1_048_576, 1)} MiB"
end
