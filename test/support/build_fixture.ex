defmodule ShapeRouter.BuildFixture do
  @moduledoc """
  A project with this project's own mix.exs and Mix compiler, and a native crate small enough to
  be built in a second. What the tests of the build do to it is done in a directory of its own.
  """

  @root Path.expand("../..", __DIR__)

  @doc "The directory of the project under test."
  def root, do: @root

  @doc "Writes the fixture project into `directory`."
  def create(directory) do
    write(directory, %{
      "mix.exs" => File.read!(Path.join(@root, "mix.exs")),
      "native/compile_shape_router_nif.exs" =>
        File.read!(Path.join(@root, "native/compile_shape_router_nif.exs")),
      "lib/empty.ex" => "defmodule ShapeRouter.Empty do\nend\n",
      "Cargo.toml" => """
      [workspace]
      resolver = "2"
      members = ["native/shape_router_nif"]

      [workspace.package]
      rust-version = "1.70"
      """,
      "Cargo.lock" => """
      version = 3

      [[package]]
      name = "shape_router_nif"
      version = "0.1.0"
      """,
      "native/shape_router_nif/Cargo.toml" => """
      [package]
      name = "shape_router_nif"
      version = "0.1.0"
      edition = "2021"

      [lib]
      crate-type = ["cdylib"]
      """,
      "native/shape_router_nif/src/lib.rs" => source("one")
    })

    directory
  end

  @doc "A source of the native crate. `text` is to be found in the library built from it."
  def source(text) do
    """
    #[no_mangle]
    pub static SHAPE_ROUTER_FIXTURE: &[u8; 64] = b"#{String.pad_trailing("fixture:" <> text, 64)}";
    """
  end

  @doc "A Mix project beside the fixture that depends on `dependency` by its path."
  def create_parent(directory, dependency, app_source) do
    write(directory, %{
      "mix.exs" => """
      defmodule Parent.MixProject do
        use Mix.Project

        def project do
          [app: :parent, version: "0.1.0", deps: [{:shape_router, path: #{inspect(dependency)}}]]
        end
      end
      """,
      "lib/parent.ex" => app_source
    })

    directory
  end

  @doc "Writes files, given by their paths below `directory`."
  def write(directory, files) do
    for {path, text} <- files do
      file = Path.join(directory, path)
      File.mkdir_p!(Path.dirname(file))
      File.write!(file, text)
    end
  end

  @doc """
  Writes a command `cargo` into `directory` that notes each start in a file, then does what the
  real one does. Returns what `starts/1` reads.
  """
  def spy_cargo(directory) do
    log = Path.join(directory, "starts")
    real = System.find_executable("cargo") || Path.expand("~/.cargo/bin/cargo")
    script(directory, "cargo", ~s(echo "$@" >> "#{log}"\nexec "#{real}" "$@"))
    log
  end

  @doc "How often the cargo of `spy_cargo/1` was asked to build."
  def starts(log) do
    case File.read(log) do
      {:ok, text} -> text |> String.split("\n") |> Enum.count(&String.starts_with?(&1, "build"))
      {:error, :enoent} -> 0
    end
  end

  @doc "Writes an executable shell script."
  def script(directory, name, body) do
    path = Path.join(directory, name)
    File.mkdir_p!(directory)
    File.write!(path, "#!/bin/sh\n#{body}\n")
    File.chmod!(path, 0o755)
    path
  end

  @doc "Runs Mix in `directory`; the environment of the tests' own run is not handed down."
  def mix(directory, args, environment \\ []) do
    ours = ~w(MIX_ENV MIX_BUILD_PATH MIX_TARGET MIX_EXS SHAPE_ROUTER_BUILD SHAPE_ROUTER_NIF_PATH
      CARGO RUSTFLAGS CARGO_TARGET_DIR)

    environment = Map.merge(Map.new(ours, &{&1, nil}), Map.new(environment))
    System.cmd("mix", args, cd: directory, env: Map.to_list(environment), stderr_to_stdout: true)
  end
end
