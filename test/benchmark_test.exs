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

    for row <- ["INSERT, miss", "UPDATE, 1 hit", "filter :native", "filter :beam", "tags @>"],
        do: assert(table =~ row)

    assert directory |> Path.join("latency.svg") |> File.read!() =~ ~r/^<svg .*<\/svg>\n$/s
  end

  test "bytes a shape of each kind, weighed by the system" do
    for kind <- ~w(router filter_native filter_native_with_shapes filter_beam) do
      args = ["run", "--no-compile", "benches/bytes.exs", kind, "20000"]
      env = [{"MIX_ENV", "test"}, {"ERL_FLAGS", "+MMmcs 0"}]
      {output, 0} = System.cmd("mix", args, env: env, stderr_to_stdout: true)
      assert output =~ ~r/bytes a shape: -?[0-9.]+\n$/
      IO.puts("#{kind}: #{output}")
    end
  end

  test "the budget of each kind of call" do
    args = ~w(run --no-compile benches/budget.exs --shapes 2000 --seconds 0)
    {output, 0} = System.cmd("mix", args, env: [{"MIX_ENV", "test"}], stderr_to_stdout: true)
    IO.puts(output)
    for row <- ["INSERT, miss", "2000 hits", "TRUNCATE"], do: assert(output =~ row)
  end
end
