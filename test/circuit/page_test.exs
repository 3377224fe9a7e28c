defmodule ShapeRouter.Circuit.PageTest do
  @moduledoc "docs/circuit.md: its examples run as they are written, and its errors are all there are."
  use ExUnit.Case, async: true

  @page File.read!(Path.expand("../../docs/circuit.md", __DIR__))

  test "the examples" do
    blocks = Regex.scan(~r/^```elixir\n(.*?)^```$/ms, @page, capture: :all_but_first)
    block = Enum.join(blocks, "\n")
    # The line above those that begin with #=> answers what they say.
    {code, count} =
      Regex.scan(~r/^(\S.*)\n((?:#=> .*\n)+)/m, block)
      |> Enum.reduce({block, 0}, fn [both, call, answer], {block, count} ->
        answer = String.replace(answer, ~r/^#=> /m, "")

        {String.replace(block, both, "ExUnit.Assertions.assert (#{call}) == #{answer}"),
         count + 1}
      end)

    assert count == 6
    Code.eval_string("require ExUnit.Assertions\n" <> code)
  end

  test "every code of the circuit's own is explained, here and where all codes are" do
    source = File.read!(Path.expand("../../native/view_circuit/src/error.rs", __DIR__))
    codes = for [_, code] <- Regex.scan(~r/=> "([a-z_]+)",/, source), do: code
    assert "missing_row" in codes
    {:docs_v1, _, _, _, %{"en" => errors}, _, _} = Code.fetch_docs(ShapeRouter.Error)

    for code <- codes, page <- [@page, errors] do
      assert page =~ "`:#{code}`", "#{code} is not explained"
    end
  end
end
