# What a step of a circuit costs from Elixir, by how many views there are and how many it concerns.
#
#     bin/bench views [--rows 100000] [--views 1,100,1000] [--rounds N]
#
# A table of so many rows with four columns; each step updates one random row. The batch is made outside of
# what is timed. Medians of rounds, the best round in brackets; docs/performance.md says how figures are made.

Code.require_file("support/measure.exs", __DIR__)

defmodule ShapeRouter.Bench.Views do
  import ShapeRouter.Bench.Measure

  alias ShapeRouter.{Circuit, IngestBatch}

  @columns [id: :int8, project_id: :int8, n: :int8, title: :text]

  # A kind of views: its name, the query of the k-th one, its format, and of how many rows at most.
  @kinds [
    {"project_id = K, one concerned", "SELECT id, title FROM t WHERE project_id = {K}",
     :streaming, :infinity},
    {"project_id = K, flat", "SELECT id, title FROM t WHERE project_id = {K}", :flat, :infinity},
    {"n <> K, all concerned", "SELECT id, title FROM t WHERE n <> -{K}", :streaming, 1_000},
    {"join by K, one concerned",
     "SELECT t.id, p.n FROM t JOIN p ON p.id = t.project_id WHERE t.project_id = {K}", :streaming,
     :infinity}
  ]

  def main(args) do
    known = [rows: :integer, views: :string, rounds: :integer]
    {opts, rest, bad} = OptionParser.parse(args, strict: known)

    if rest != [] or bad != [] do
      IO.puts("usage: bin/bench views [--rows 100000] [--views 1,100,1000] [--rounds N]")
      System.halt(2)
    end

    rows = opts[:rows] || 100_000
    rounds = opts[:rounds] || 60
    counts = (opts[:views] || "1,100,1000") |> String.split(",") |> Enum.map(&String.to_integer/1)
    most = Enum.max(counts)

    IO.puts("one UPDATE of a random row, #{rows} rows; µs a step, median (best)\n")
    heads = Enum.map(counts, &String.pad_leading("#{&1} views", 18))
    IO.puts([String.pad_trailing("", 32) | heads])

    for {name, sql, format, rows_at_most} <- @kinds do
      rows = min(rows, rows_at_most)
      cells = for count <- counts, do: of(sql, format, rows, count, most, rounds)
      IO.puts([String.pad_trailing(name, 32) | cells])
    end

    circuit = circuit()
    load(circuit, rows, most)
    times = measure(fn -> IngestBatch.new() end, &step(circuit, &1), rounds, 1)
    IO.puts([String.pad_trailing("an empty batch", 32), cell(times)])
    make = fn -> :rand.uniform(rows) end
    times = measure(make, fn id -> {:ok, _} = Circuit.row(circuit, "t", id) end, rounds, 1)
    IO.puts([String.pad_trailing("Circuit.row/3", 32), cell(times)])
  end

  defp of(sql, format, rows, count, most, rounds) do
    circuit = circuit()

    for k <- 1..count do
      text = String.replace(sql, "{K}", Integer.to_string(k))
      {:ok, _} = Circuit.register(circuit, k, text, format: format, ids: 0)
    end

    load(circuit, rows, most)

    # The rows of a project that has a view: one of `count` views is concerned by each.
    make = fn ->
      id = rem(:rand.uniform(rows) * most, rows) + :rand.uniform(count)
      change = %{title: "title #{:rand.uniform(1_000_000)}"}
      IngestBatch.update(IngestBatch.new(), "t", min(id, rows), change)
    end

    cell = circuit |> then(&measure(make, fn batch -> step(&1, batch) end, rounds, 1)) |> cell()
    :ok = Circuit.close(circuit)
    cell
  end

  defp cell(%{median: median, best: best}),
    do: String.pad_leading("#{us(median)} (#{us(best)})", 18)

  defp us(ns), do: :erlang.float_to_binary(ns / 1_000, decimals: 1)

  defp step(circuit, batch) do
    {:ok, _} = Circuit.step(circuit, batch)
  end

  defp circuit do
    tables = [
      t: [columns: @columns, primary_key: [:id]],
      p: [columns: [id: :int8, n: :int8], primary_key: [:id]]
    ]

    {:ok, circuit} = Circuit.new(tables: tables)
    circuit
  end

  # Row `id` is of project `rem(id - 1, projects) + 1`.
  defp load(circuit, rows, projects) do
    ps = for id <- 1..projects, do: {"p", id, %{n: id}}

    ts =
      for id <- 1..rows,
          do: {"t", id, %{project_id: rem(id - 1, projects) + 1, n: id, title: "title #{id}"}}

    for some <- Enum.chunk_every(ps ++ ts, 1_000) do
      create = fn {table, id, row}, batch -> IngestBatch.create(batch, table, id, row) end
      step(circuit, Enum.reduce(some, IngestBatch.new(), create))
    end
  end
end

ShapeRouter.Bench.Views.main(System.argv())
