defmodule ShapeRouter.BenchmarkTest do
  @moduledoc """
  The benchmark in a small form: that it runs, and writes what it promises. Not part of the other tests:
  `mix test --only benchmark`.
  """
  use ExUnit.Case, async: false

  @moduletag :benchmark
  @moduletag :tmp_dir
  @moduletag timeout: :timer.minutes(5)

  test "the table, its figures and its charts", %{tmp_dir: directory} do
    args =
      ~w(run --no-compile benches/table.exs --sizes 1000,2000 --rounds 3 --out) ++ [directory]

    {output, 0} = System.cmd("mix", args, env: [{"MIX_ENV", "test"}], stderr_to_stdout: true)
    IO.puts(output)

    for name <- ~w(table.txt figures.json latency.svg clauses.svg),
        do: assert(File.stat!(Path.join(directory, name)).size > 500)

    table = File.read!(Path.join(directory, "table.txt"))

    for row <- ["INSERT, miss", "UPDATE, 1 hit", "filter :beam", "tags @>"],
        do: assert(table =~ row)

    assert directory |> Path.join("latency.svg") |> File.read!() =~ ~r/^<svg .*<\/svg>\n$/s
  end
end
