defmodule ShapeRouter.Demo.DemoTest do
  @moduledoc "bin/demo as a command. That it succeeds is a step of bin/test of its own."
  use ExUnit.Case, async: true

  alias ShapeRouter.BuildFixture

  @moduletag timeout: 300_000
  @moduletag :tmp_dir

  defp demo(tmp_dir, args) do
    environment = [
      {"TMPDIR", tmp_dir},
      {"MIX_BUILD_PATH", nil},
      {"MIX_ENV", nil}
    ]

    System.cmd(Path.join(BuildFixture.root(), "bin/demo"), args,
      env: environment,
      stderr_to_stdout: true,
      cd: tmp_dir
    )
  end

  test "explains itself, and refuses what it does not understand", %{tmp_dir: tmp_dir} do
    assert {"Usage: bin/demo" <> _, 0} = demo(tmp_dir, ["--help"])

    for {args, message} <- [
          {["--shape", "100"], "there is no option --shape"},
          {["--shapes"], "--shapes wants a value"},
          {["--shapes", "99"], "--shapes wants a number from 100 up, not '99'"},
          {["--seconds=soon"], "--seconds wants a number from 1 up, not 'soon'"},
          {["--replica-identity", "index"], "--replica-identity is default or full"}
        ] do
      assert {output, 2} = demo(tmp_dir, args)
      assert output =~ message
      assert output =~ "Usage: bin/demo"
    end
  end

  test "finds operations that are lost, says where, and cleans up", %{tmp_dir: tmp_dir} do
    # PostgreSQL's sockets, and another user, have to get there.
    assert {output, 1} = demo(short(tmp_dir), ~w(--seconds 2 --shapes 200 --break 997))
    assert output =~ ~r/shape \d+ \(\w+, membership (known|unknown)\) WHERE /
    assert output =~ ~r/FAILED: [\d,]+ changes, 200 shapes, [\d,]+ differences\n\z/
    refute output =~ " 0 differences"
    assert File.ls!(short(tmp_dir)) == []
  end

  # A directory that everybody may enter, which those of the tests need not be.
  defp short(tmp_dir) do
    directory = Path.join(System.tmp_dir!(), "srd-#{:erlang.phash2(tmp_dir)}")
    File.mkdir_p!(directory)
    File.chmod!(directory, 0o755)
    on_exit(fn -> File.rm_rf!(directory) end)
    directory
  end
end
