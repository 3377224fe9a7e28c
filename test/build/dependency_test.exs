defmodule ShapeRouter.Build.DependencyTest do
  @moduledoc "The project as others use it: its real library, in somebody else's project."
  use ExUnit.Case, async: true

  import ShapeRouter.BuildFixture

  @moduletag :tmp_dir
  @moduletag timeout: 600_000

  @parent """
  defmodule Parent do
    def routed do
      {:ok, router} = ShapeRouter.new("tenant_1", "todos")
      :ok = ShapeRouter.add_shape(router, 1, "user_id = 123", [1, 2, 3])
      :ok = ShapeRouter.add_shape(router, 2, "status IN (1, 2, 3)", [4, 5, 6])
      change = %{pk: 42, new_record: %{id: 42, user_id: 123, status: 1}, changed_columns: [1, 2]}
      ShapeRouter.route(router, change)
    end
  end
  """

  # The library has been built for this very run of the tests: with the same settings, cargo has
  # nothing to do here.
  defp mix_as_here(directory, args, environment \\ []) do
    same =
      for name <- ~w(CARGO CARGO_TARGET_DIR RUSTFLAGS SHAPE_ROUTER_BUILD SHAPE_ROUTER_NIF_PATH),
          do: {name, System.get_env(name)}

    mix(directory, args, same ++ environment)
  end

  test "is compiled and routes as a path dependency", %{tmp_dir: tmp_dir} do
    create_parent(tmp_dir, root(), @parent)
    {output, status} = mix_as_here(tmp_dir, ["run", "-e", "IO.inspect(Parent.routed())"])
    assert status == 0, output
    assert output =~ "\n[1, 2]\n"

    # The library is loaded from the parent's build, and compiling again does nothing.
    assert File.exists?(
             Path.join(tmp_dir, "_build/dev/lib/shape_router/priv/shape_router_nif.so")
           )

    assert mix_as_here(tmp_dir, ["compile"]) == {"", 0}
  end

  test "is compiled and routes with MIX_BUILD_PATH", %{tmp_dir: tmp_dir} do
    environment = [{"MIX_BUILD_PATH", Path.join(tmp_dir, "build")}, {"MIX_ENV", "prod"}]
    create_parent(Path.join(tmp_dir, "parent"), root(), @parent)

    {output, status} =
      mix_as_here(
        Path.join(tmp_dir, "parent"),
        ["run", "-e", "IO.inspect(Parent.routed())"],
        environment
      )

    assert status == 0, output
    assert output =~ "\n[1, 2]\n"
    assert File.exists?(Path.join(tmp_dir, "build/lib/shape_router/priv/shape_router_nif.so"))
  end

  test "says so when the library given is none", %{tmp_dir: tmp_dir} do
    create_parent(tmp_dir, root(), @parent)
    given = Path.join(tmp_dir, "given.so")
    File.write!(given, "no library")
    environment = [{"SHAPE_ROUTER_NIF_PATH", given}]

    {output, status} =
      mix_as_here(tmp_dir, ["run", "-e", "IO.inspect(Parent.routed())"], environment)

    assert status != 0
    refute output =~ "[1, 2]"
    assert output =~ "shape_router_nif"
  end

  test "has everything in its package that cargo wants to see", %{tmp_dir: tmp_dir} do
    package = Mix.Project.config()[:package]

    files =
      for pattern <- package[:files],
          top <- Path.wildcard(Path.join(root(), pattern), match_dot: true),
          file <- [top | Path.wildcard(Path.join(top, "**"), match_dot: true)],
          File.regular?(file),
          relative = Path.relative_to(file, root()),
          not Enum.any?(package[:exclude_patterns], &Regex.match?(&1, relative)),
          do: relative

    for required <-
          ~w(mix.exs README.md CHANGELOG.md LICENSE Cargo.toml Cargo.lock
          native/compile_shape_router_nif.exs native/shape_router_nif/src/lib.rs lib/shape_router.ex),
        do: assert(required in files)

    for file <- files do
      File.mkdir_p!(Path.dirname(Path.join(tmp_dir, file)))
      File.cp!(Path.join(root(), file), Path.join(tmp_dir, file))
    end

    # Fails when a member of the workspace, or Cargo.lock, is not in the package.
    cargo = System.find_executable("cargo") || Path.expand("~/.cargo/bin/cargo")
    args = ~w(metadata --no-deps --locked --offline --format-version 1)
    {output, status} = System.cmd(cargo, args, cd: tmp_dir, stderr_to_stdout: true)
    assert status == 0, output
  end
end
