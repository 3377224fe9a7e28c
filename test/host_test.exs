defmodule ShapeRouter.HostTest do
  @moduledoc "The project in `test/host` goes through docs/adopting.md, as written."
  use ExUnit.Case, async: true

  import ShapeRouter.BuildFixture

  @moduletag :tmp_dir
  @moduletag timeout: 600_000

  @host Path.expand("host", __DIR__)

  # What the host prints, `name => [value]`.
  defp day(tmp_dir, mode) do
    same =
      for name <- ~w(CARGO CARGO_TARGET_DIR RUSTFLAGS SHAPE_ROUTER_BUILD SHAPE_ROUTER_NIF_PATH),
          do: {name, System.get_env(name)}

    environment = [{"MIX_BUILD_PATH", Path.join(tmp_dir, "build")}, {"SHAPE_FILTER", mode}]
    {output, status} = mix(@host, ["run", "-e", "Host.Day.run()"], same ++ environment)
    assert status == 0, output

    figures =
      for line <- String.split(output, "\n"),
          [_, name, value] <- [Regex.run(~r/^([a-z ]+): (.+)$/, line)],
          do: {name, value}

    {Enum.group_by(figures, &elem(&1, 0), &elem(&1, 1)), output}
  end

  test "shadow, compare, native, and back", %{tmp_dir: tmp_dir} do
    {own, output} = day(tmp_dir, "own")
    assert %{"compared" => [compared], "failed" => ["0"]} = own
    assert String.to_integer(compared) == 1_204
    # The host's own filter is wrong about the number that no float can hold, and only there.
    assert own["exact"] == ["true"]
    assert own["differing"] == ["1"]
    assert own["cause"] == ["missing price = ? 1"]
    assert output =~ "filters differ"
    assert own["truncate"] == ["271"]
    assert own["renamed"] == ["271"]
    assert own["unchanged"] == ["0"]

    {native, output} = day(tmp_dir, "native")
    assert native["exact"] == ["false"]
    assert native["compared"] == ["0"]
    refute output =~ "filters differ"
    assert native["metrics"] == ["true"]

    {beam, _output} = day(tmp_dir, "beam")
    assert beam["exact"] == ["false"]

    {back, _output} = day(tmp_dir, "own")
    assert back == own

    for same <- ["hits", "hits after half of the users left", "truncate", "renamed", "unchanged"] do
      assert [_] = own[same]
      assert native[same] == own[same]
      assert beam[same] == own[same]
    end
  end

  test "what the page shows is what the project has" do
    shown = Path.expand("../docs/adopting.md", __DIR__) |> File.read!()
    blocks = for [_, block] <- Regex.scan(~r/```elixir\n(.*?)```/s, shown), do: block
    assert length(blocks) >= 6

    files =
      for pattern <- ~w(*.exs config/*.exs lib/**/*.ex),
          file <- Path.wildcard(Path.join(@host, pattern)),
          do: file |> File.read!() |> squeezed()

    for block <- blocks do
      assert Enum.any?(files, &String.contains?(&1, squeezed(block))), "no file has:\n#{block}"
    end
  end

  defp squeezed(text), do: text |> String.split() |> Enum.join(" ")
end
