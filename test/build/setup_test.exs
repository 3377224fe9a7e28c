defmodule ShapeRouter.Build.SetupTest do
  @moduledoc "bin/lib/setup.sh: what the commands do on a machine that lacks something."
  use ExUnit.Case, async: true

  import ShapeRouter.BuildFixture, only: [root: 0, script: 3]

  @moduletag :tmp_dir

  # Runs bash with the functions of setup.sh, after `overrides` replaced some of them.
  defp setup_sh(tmp_dir, overrides, command) do
    script = """
    set -euo pipefail
    . #{root()}/bin/lib/setup.sh
    export PATH="#{tmp_dir}/stubs:$PATH"
    MAIN_CLUSTER_OFF=#{tmp_dir}/createcluster.d/shape_router.conf
    #{overrides}
    #{command}
    """

    System.cmd("bash", ["-c", script], stderr_to_stdout: true, cd: tmp_dir)
  end

  # Notes what it is asked, and whether a cluster would have been created.
  defp stub_apt(tmp_dir, exit_code \\ 0) do
    stubs = Path.join(tmp_dir, "stubs")
    script(stubs, "sudo", ~s(exec "$@"))

    script(stubs, "apt-get", """
    echo "apt-get $* [$DEBIAN_FRONTEND]" >> #{tmp_dir}/asked
    cat #{tmp_dir}/createcluster.d/* >> #{tmp_dir}/asked 2>/dev/null
    for word; do [ "$word" = install ] && exit #{exit_code}; done
    exit 0
    """)
  end

  @nothing_there """
  have() { case $1 in cargo | apt-get | sudo) true ;; *) false ;; esac; }
  find_cargo() { :; }
  find_postgres() { false; }
  have_libclang() { false; }
  check_versions() { :; }
  """

  test "does nothing where everything is there", %{tmp_dir: tmp_dir} do
    stub_apt(tmp_dir)

    overrides = """
    have() { true; }
    find_cargo() { :; }; find_postgres() { true; }; have_libclang() { true; }
    have_otp() { true; }; have_erlang_header() { true; }; check_versions() { :; }
    """

    assert setup_sh(tmp_dir, overrides, "need elixir postgres libclang dialyzer") == {"", 0}
    refute File.exists?(Path.join(tmp_dir, "asked"))
  end

  test "installs what is missing, without a prompt and without a server", %{tmp_dir: tmp_dir} do
    stub_apt(tmp_dir)
    command = "need elixir postgres libclang dialyzer"
    assert {output, 0} = setup_sh(tmp_dir, @nothing_there, command)

    packages =
      "build-essential elixir erlang-dev erlang-nox postgresql postgresql-contrib libclang-dev erlang-dialyzer"

    assert output =~ "Installing: #{packages}"

    asked = File.read!(Path.join(tmp_dir, "asked"))
    assert asked =~ ~r/^apt-get -y .* update \[noninteractive\]$/m

    assert asked =~
             ~r/^apt-get -y .* install .*#{packages} \[noninteractive\]\ncreate_main_cluster = false$/m

    # That setting was for this one installation only.
    assert File.ls!(Path.join(tmp_dir, "createcluster.d")) == []
  end

  test "says what could not be installed", %{tmp_dir: tmp_dir} do
    stub_apt(tmp_dir, 100)
    assert {output, 1} = setup_sh(tmp_dir, @nothing_there, "need postgres")
    assert output =~ "** apt-get could not install: build-essential postgresql postgresql-contrib"
    assert File.ls!(Path.join(tmp_dir, "createcluster.d")) == []
  end

  test "lists what to install where there is no apt", %{tmp_dir: tmp_dir} do
    overrides = @nothing_there <> "have() { false; }\n"
    assert {output, 1} = setup_sh(tmp_dir, overrides, "need elixir postgres libclang dialyzer")
    assert output =~ "and apt-get, which would install it, is missing too."

    for line <- [
          "- a C compiler",
          "- Elixir 1.14 or newer, with Erlang/OTP 25 or newer",
          "- PostgreSQL 14 or newer, server and pgbench",
          "- libclang with its headers",
          "- Erlang's dialyzer"
        ],
        do: assert(output =~ line)
  end

  test "says where to get cargo, and when it is too old", %{tmp_dir: tmp_dir} do
    overrides = "have() { false; }\nexport CARGO_HOME=/nowhere\n"
    assert {output, 1} = setup_sh(tmp_dir, overrides, "need elixir")

    assert output =~
             ~r/cargo was not found. Install Rust 1\.\d+ or newer from https:\/\/rustup.rs/

    script(Path.join(tmp_dir, "stubs"), "cargo", "echo 'cargo 1.70.0 (ec8a8a0ca 2023-04-25)'")
    assert {output, 1} = setup_sh(tmp_dir, "", "need elixir")

    assert output =~
             ~r/cargo is version 1.70.0; Rust 1\.\d+ or newer is needed. Run: rustup update/
  end

  test "refuses an Elixir that is too old", %{tmp_dir: tmp_dir} do
    script(Path.join(tmp_dir, "stubs"), "elixir", "echo 1.12.2")
    assert {output, 1} = setup_sh(tmp_dir, "have_otp() { true; }\n", "check_versions elixir")
    assert output =~ "Elixir is version 1.12.2; 1.14 or newer is needed."
  end
end
