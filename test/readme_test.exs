defmodule ShapeRouter.ReadmeTest do
  @moduledoc "The README's examples run as they are written."
  use ExUnit.Case, async: true

  @readme File.read!(Path.expand("../README.md", __DIR__))
  @blocks ~r/^```elixir\n(.*?)^```$/ms
          |> Regex.scan(@readme, capture: :all_but_first)
          |> List.flatten()
          |> Enum.filter(&(&1 =~ "#=>"))

  test "there are examples" do
    assert length(@blocks) >= 2
  end

  for {block, number} <- Enum.with_index(@blocks, 1) do
    test "example #{number}" do
      # Every line that says what it answers is compared with what it says.
      unquote(block)
      |> String.replace(~r/^(\S.*?)\s*#=> (.*)$/m, "ExUnit.Assertions.assert \\1 == \\2")
      |> then(&Code.eval_string("require ExUnit.Assertions\n" <> &1))
    end
  end
end
