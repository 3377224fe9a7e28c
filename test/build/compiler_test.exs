defmodule ShapeRouter.Build.CompilerTest do
  @moduledoc "The Mix compiler that builds the native library."
  use ExUnit.Case, async: true

  import ShapeRouter.BuildFixture

  @moduletag :tmp_dir
  @moduletag timeout: 180_000

  @library "_build/dev/lib/shape_router/priv/shape_router_nif.so"
  @lib_rs "native/shape_router_nif/src/lib.rs"

  setup %{tmp_dir: tmp_dir} do
    project = create(Path.join(tmp_dir, "project"))
    tools = Path.join(tmp_dir, "tools")
    log = spy_cargo(tools)

    {:ok,
     project: project,
     tools: tools,
     log: log,
     library: Path.join(project, @library),
     spied: [{"CARGO", Path.join(tools, "cargo")}]}
  end

  defp compile!(context, environment \\ []) do
    {output, status} = mix(context.project, ["compile"], context.spied ++ environment)
    assert status == 0, output
    output
  end

  defp compile_error(context, environment) do
    {output, status} = mix(context.project, ["compile"], environment)
    assert status == 1, output
    output
  end

  defp edit(context, text), do: write(context.project, %{@lib_rs => source(text)})

  test "builds on the first run, and then not again while nothing changes", context do
    assert compile!(context) =~ "Building native/shape_router_nif (release) with cargo"
    assert File.read!(context.library) =~ "fixture:one"
    assert starts(context.log) == 1

    assert compile!(context) == ""
    File.touch!(Path.join(context.project, @lib_rs), System.os_time(:second) + 10)
    write(context.project, %{"native/shape_router_nif/tests/new.rs" => "// not in the library"})
    assert compile!(context) == ""
    assert starts(context.log) == 1

    {_output, 0} = mix(context.project, ["compile", "--force"], context.spied)
    assert starts(context.log) == 2
  end

  test "builds again when a source changes, and replaces the library by another file", context do
    compile!(context)
    before = File.stat!(context.library)

    # The same size, and most likely within the same second.
    edit(context, "two")
    compile!(context)

    assert starts(context.log) == 2
    assert File.read!(context.library) =~ "fixture:two"
    assert File.stat!(context.library).inode != before.inode
    assert Path.wildcard("#{context.library}.*") == []
  end

  test "builds again when a source comes or goes, or Cargo.toml changes", context do
    compile!(context)
    write(context.project, %{"native/shape_router_nif/src/more.rs" => ""})
    compile!(context)
    assert starts(context.log) == 2
    File.rm!(Path.join(context.project, "native/shape_router_nif/src/more.rs"))
    compile!(context)
    assert starts(context.log) == 3
    File.write!(Path.join(context.project, "Cargo.toml"), "\n# more\n", [:append])
    compile!(context)
    assert starts(context.log) == 4
  end

  test "installs into MIX_BUILD_PATH", %{tmp_dir: tmp_dir} = context do
    elsewhere = Path.join(tmp_dir, "elsewhere")
    compile!(context, [{"MIX_BUILD_PATH", elsewhere}])
    assert File.exists?(Path.join(elsewhere, "lib/shape_router/priv/shape_router_nif.so"))
    refute File.exists?(Path.join(context.project, "_build"))

    compile!(context, [{"MIX_BUILD_PATH", elsewhere}])
    assert starts(context.log) == 1
  end

  test "builds in CARGO_TARGET_DIR when it is set", %{tmp_dir: tmp_dir} = context do
    target = Path.join(tmp_dir, "target")
    compile!(context, [{"CARGO_TARGET_DIR", target}])
    assert File.exists?(context.library)
    assert File.exists?(Path.join(target, "release"))
    refute File.exists?(Path.join(context.project, "target"))
  end

  test "SHAPE_ROUTER_BUILD says which profile, MIX_ENV does not", context do
    assert compile!(context, [{"SHAPE_ROUTER_BUILD", "debug"}]) =~ "(debug)"
    assert File.exists?(Path.join(context.project, "target/debug"))
    assert compile!(context) =~ "(release)"
    assert compile!(context, [{"MIX_ENV", "test"}]) =~ "(release)"

    message = compile_error(context, [{"SHAPE_ROUTER_BUILD", "fast"}])
    assert message =~ ~s(SHAPE_ROUTER_BUILD must be "release" or "debug", and is "fast")
  end

  test "shows the whole of cargo's error, and fails until it is mended", context do
    compile!(context)
    File.write!(Path.join(context.project, @lib_rs), "const TEXT: &str = 1;\n", [:append])

    for _ <- 1..2 do
      message = compile_error(context, context.spied)
      assert message =~ "error[E0308]: mismatched types"
      assert message =~ "expected `&str`, found integer"
      assert message =~ "** cargo could not build native/shape_router_nif (exit 101)"
    end

    edit(context, "three")
    compile!(context)
    assert File.read!(context.library) =~ "fixture:three"
  end

  test "says what to do when cargo is missing", context do
    message = compile_error(context, [{"CARGO", "/nowhere/cargo"}])
    assert message =~ "CARGO names /nowhere/cargo, which is not a command."
    assert message =~ "built with Rust 1.70 or newer: install it from https://rustup.rs, or set"
    assert message =~ "SHAPE_ROUTER_NIF_PATH to a library built elsewhere."
  end

  test "finds cargo in CARGO_HOME when PATH has none", %{tmp_dir: tmp_dir} = context do
    # A PATH with nothing but what Mix itself needs.
    commands = Path.join(tmp_dir, "commands")
    File.mkdir_p!(commands)

    for name <-
          ~w(mix elixir erl sh env dirname basename readlink uname sed grep cat expr pwd ls),
        path = System.find_executable(name),
        do: script(commands, name, ~s(exec "#{path}" "$@"))

    environment = [{"PATH", commands}, {"CARGO_HOME", Path.join(tmp_dir, "cargo_home")}]
    message = compile_error(context, environment)
    assert message =~ "cargo was not found in PATH. ShapeRouter's native library is built with"

    # The home is found; the cargo in it then runs with the usual PATH (a linker is needed).
    script(Path.join(tmp_dir, "cargo_home/bin"), "cargo", """
    PATH="#{System.get_env("PATH")}" CARGO_HOME= ; export PATH; unset CARGO_HOME
    exec "#{context.tools}/cargo" "$@"
    """)

    {output, status} = mix(context.project, ["compile"], environment)
    assert status == 0, output
    assert starts(context.log) == 1
  end

  test "says which cargo is too old", context do
    old = script(context.tools, "old_cargo", "echo 'cargo 1.60.0 (d1fd9fe2c 2022-03-01)'")
    message = compile_error(context, [{"CARGO", old}])
    assert message =~ "#{old} is version 1.60, and ShapeRouter's native library needs Rust 1.70"

    broken = script(context.tools, "no_toolchain", "echo 'no default toolchain' >&2; exit 1")
    message = compile_error(context, [{"CARGO", broken}])
    assert message =~ "--version did not work (exit 1):\nno default toolchain"
  end

  test "takes the library that SHAPE_ROUTER_NIF_PATH names", %{tmp_dir: tmp_dir} = context do
    given = Path.join(tmp_dir, "given.so")
    File.write!(given, "given:one")
    environment = [{"SHAPE_ROUTER_NIF_PATH", given}, {"CARGO", "/nowhere/cargo"}]

    compile!(context, environment)
    assert File.read!(context.library) == "given:one"
    assert compile!(context, environment) == ""

    File.write!(given, "given:two")
    compile!(context, environment)
    assert File.read!(context.library) == "given:two"
    assert starts(context.log) == 0

    # And back.
    assert compile!(context) =~ "(release)"
    assert File.read!(context.library) =~ "fixture:one"

    message = compile_error(context, [{"SHAPE_ROUTER_NIF_PATH", tmp_dir}])
    assert message =~ "SHAPE_ROUTER_NIF_PATH names #{tmp_dir}, which is not a file."
    message = compile_error(context, [{"SHAPE_ROUTER_NIF_PATH", "/nowhere/x.so"}])
    assert message =~ "names /nowhere/x.so, which does not exist."
  end

  test "puts back a library that was removed or overwritten", context do
    compile!(context)
    File.write!(context.library, "something else")
    compile!(context)
    assert File.read!(context.library) =~ "fixture:one"

    {_output, 0} = mix(context.project, ["clean"], context.spied)
    refute File.exists?(context.library)
    compile!(context)
    assert File.read!(context.library) =~ "fixture:one"
  end

  test "keeps a priv of the project's own", context do
    write(context.project, %{"priv/other.txt" => "other"})
    compile!(context)
    assert File.read!(Path.join(Path.dirname(context.library), "other.txt")) == "other"
    assert File.read!(context.library) =~ "fixture:one"
    assert compile!(context) == ""
  end

  test "builds as a path dependency, inside the dependency's folder", context do
    parent = Path.join(context.tmp_dir, "parent")
    create_parent(parent, context.project, "defmodule Parent do\nend\n")
    library = Path.join(parent, @library)

    {output, status} = mix(parent, ["compile"], context.spied)
    assert status == 0, output
    assert File.read!(library) =~ "fixture:one"
    assert File.exists?(Path.join(context.project, "target/release"))
    refute File.exists?(Path.join(parent, "target"))
    refute File.exists?(Path.join(context.project, "_build"))

    {_output, 0} = mix(parent, ["compile"], context.spied)
    assert starts(context.log) == 1

    edit(context, "two")
    {_output, 0} = mix(parent, ["compile"], context.spied)
    assert File.read!(library) =~ "fixture:two"

    write(context.project, %{@lib_rs => "no rust"})
    {output, status} = mix(parent, ["compile"], context.spied)
    assert status == 1
    assert output =~ "error: expected one of"
    assert output =~ "** cargo could not build native/shape_router_nif (exit 101)"
  end

  test "two builds at the same time do not disturb each other", context do
    results =
      [{"MIX_ENV", "dev"}, {"MIX_ENV", "test"}, {"MIX_ENV", "prod"}]
      |> Enum.map(&Task.async(fn -> mix(context.project, ["compile"], [&1 | context.spied]) end))
      |> Task.await_many(120_000)

    for {output, status} <- results, do: assert(status == 0, output)

    for env <- ~w(dev test prod) do
      library =
        Path.join(context.project, "_build/#{env}/lib/shape_router/priv/shape_router_nif.so")

      assert File.read!(library) =~ "fixture:one"
    end
  end
end
