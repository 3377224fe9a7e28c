defmodule Mix.Tasks.Compile.ShapeRouterNif do
  @moduledoc """
  Builds `native/shape_router_nif` with cargo and puts the library into the application's `priv`.

  It is a Mix compiler and runs as a part of `mix compile`. Cargo is started only when something
  that it would read has changed: the contents of `native/`, `Cargo.toml`, `Cargo.lock`,
  `.cargo/config.toml`, `rust-toolchain.toml`, or one of the variables below. `--force` always
  starts it.

  ## Environment variables

    * `SHAPE_ROUTER_BUILD` - `release` (the default) or `debug`. `MIX_ENV` has no say in it:
      an unoptimised router would be many times slower, in tests too.
    * `SHAPE_ROUTER_NIF_PATH` - the path of a library built elsewhere, which is used as it is;
      cargo is not needed then.
    * `CARGO` - the cargo to use; by default the one in `PATH`, else the one in `CARGO_HOME/bin`.
    * `CARGO_TARGET_DIR` and the other variables that cargo knows mean what they always mean.
      By default cargo builds in `target/` beside this project's `Cargo.toml`, also when the
      project is a dependency of another.

  The library is installed per build path (`_build/<env>/lib/shape_router/priv`), not in the
  source tree, so that builds of different kinds do not take it from each other.

  `mix clean` removes the installed library; cargo's own `target/` is left to `cargo clean`.
  """

  use Mix.Task.Compiler

  @recursive true
  @manifest "compile.shape_router_nif"
  @crate "shape_router_nif"
  @root Path.expand("..", __DIR__)

  # Of a crate, cargo does not read these to build the library, nor the fuzzers' own crate
  # (`native/fuzz`). Some of them get large.
  @not_built ~w(tests benches examples fuzz target proptest-regressions)

  # What cargo reads from the environment and what changes the library it makes.
  @cargo_variables ~w(CARGO CARGO_TARGET_DIR CARGO_BUILD_TARGET_DIR CARGO_BUILD_TARGET RUSTFLAGS
    CARGO_BUILD_RUSTFLAGS CARGO_ENCODED_RUSTFLAGS RUSTC RUSTUP_TOOLCHAIN)

  @impl true
  def run(args) do
    with {:ok, plan} <- plan(),
         stamp = stamp(plan),
         true <- "--force" in args or stale?(stamp),
         {:ok, built} <- build(plan),
         :ok <- install(built, stamp) do
      {:ok, []}
    else
      false -> {:noop, []}
      {:error, message} -> failed(message)
    end
  end

  @impl true
  def manifests, do: [manifest()]

  @impl true
  def clean do
    File.rm(library())
    File.rm(manifest())
    :ok
  end

  # What is to be done

  defp plan do
    case System.get_env("SHAPE_ROUTER_NIF_PATH", "") do
      "" -> profile(System.get_env("SHAPE_ROUTER_BUILD", "release"))
      path -> precompiled(Path.expand(path))
    end
  end

  defp profile("release"), do: {:ok, {:cargo, :release}}
  defp profile("debug"), do: {:ok, {:cargo, :debug}}

  defp profile(other) do
    {:error, ~s(SHAPE_ROUTER_BUILD must be "release" or "debug", and is #{inspect(other)})}
  end

  defp precompiled(path) do
    if File.regular?(path) do
      {:ok, {:precompiled, path}}
    else
      {:error,
       "SHAPE_ROUTER_NIF_PATH names #{path}, which " <>
         if(File.exists?(path), do: "is not a file", else: "does not exist") <>
         ". Unset it to build the library with cargo."}
    end
  end

  # Whether it has been done already. Contents are compared, not times: reading them all takes
  # a few milliseconds, and a switch of branches and back costs no build.

  defp stale?(stamp) do
    with {:ok, binary} <- File.read(manifest()),
         lock = lock(),
         {:ok, {^stamp, ^lock, size, mtime}} <- decode(binary),
         # A library that something else put there since is replaced.
         {:ok, %{size: ^size, mtime: ^mtime}} <- File.stat(library(), time: :posix) do
      false
    else
      _ -> true
    end
  end

  defp decode(binary) do
    {:ok, :erlang.binary_to_term(binary, [:safe])}
  rescue
    ArgumentError -> :error
  end

  defp stamp({:precompiled, path}) do
    hash([:precompiled, path, File.read!(path)])
  end

  defp stamp({:cargo, profile}) do
    environment = for name <- @cargo_variables, do: {name, System.get_env(name)}
    files = for path <- sources(), do: {path, File.read!(Path.join(@root, path))}
    hash([profile, :erlang.system_info(:system_architecture), environment, files])
  end

  # Cargo itself writes this one when Cargo.toml asks for it, so what counts is how the build left
  # it.
  defp lock do
    case File.read(Path.join(@root, "Cargo.lock")) do
      {:ok, text} -> hash(text)
      {:error, _} -> nil
    end
  end

  defp hash(term), do: :erlang.md5(:erlang.term_to_binary(term))

  defp sources do
    top =
      for path <- ~w(Cargo.toml .cargo/config.toml rust-toolchain.toml rust-toolchain),
          File.regular?(Path.join(@root, path)),
          do: path

    top ++ files("native", 0)
  end

  # `native/<crate>/tests` and its like are left out, `native/<crate>/src/tests` is not.
  defp files(folder, depth) do
    for name <- Enum.sort(File.ls!(Path.join(@root, folder))),
        not String.starts_with?(name, "."),
        not (depth <= 1 and name in @not_built),
        path = Path.join(folder, name),
        file <- if(File.dir?(Path.join(@root, path)), do: files(path, depth + 1), else: [path]),
        # A dangling link (an editor's lock file is one) is nothing that cargo could read.
        File.regular?(Path.join(@root, file)),
        do: file
  end

  # Doing it

  defp build({:precompiled, path}), do: {:ok, path}

  defp build({:cargo, profile}) do
    with {:ok, cargo} <- find_cargo(),
         :ok <- check_version(cargo) do
      Mix.shell().info("Building native/#{@crate} (#{profile}) with cargo")

      # Cargo's progress and its complaints go to the standard error stream, untouched. The
      # standard output carries one line of JSON for each artifact, which says where it lies.
      args =
        ["build", "--package", @crate, "--message-format=json-render-diagnostics"] ++
          if(profile == :release, do: ["--release"], else: [])

      case System.cmd(cargo, args, cd: @root) do
        {output, 0} -> find_artifact(output)
        {_output, status} -> {:error, "cargo could not build native/#{@crate} (exit #{status})"}
      end
    end
  end

  defp find_cargo do
    case System.get_env("CARGO", "") do
      "" ->
        home = System.get_env("CARGO_HOME") || Path.join(System.user_home() || "/", ".cargo")
        # The installer of Rust changes the PATH of new shells only.
        found = System.find_executable("cargo") || System.find_executable("#{home}/bin/cargo")
        if found, do: {:ok, found}, else: {:error, missing("cargo was not found in PATH")}

      named ->
        found = System.find_executable(named)

        if found,
          do: {:ok, found},
          else: {:error, missing("CARGO names #{named}, which is not a command")}
    end
  end

  defp missing(what) do
    "#{what}. ShapeRouter's native library is built with Rust #{minimum()} or newer: install it " <>
      "from https://rustup.rs, or set SHAPE_ROUTER_NIF_PATH to a library built elsewhere."
  end

  defp check_version(cargo) do
    {output, status} = System.cmd(cargo, ["--version"], cd: @root, stderr_to_stdout: true)

    case Regex.run(~r/^cargo (\d+)\.(\d+)/m, output) do
      [_, major, minor] when status == 0 ->
        [wanted_major, wanted_minor | _] = minimum() |> String.split(".") |> to_integers()

        if to_integers([major, minor]) >= [wanted_major, wanted_minor] do
          :ok
        else
          {:error,
           "#{cargo} is version #{major}.#{minor}, and ShapeRouter's native library needs Rust " <>
             "#{minimum()} or newer: run `rustup update`, or install it from https://rustup.rs."}
        end

      _ ->
        {:error, "#{cargo} --version did not work (exit #{status}):\n#{output}"}
    end
  end

  defp minimum do
    [_, version] =
      Regex.run(~r/^rust-version = "([\d.]+)"/m, File.read!(Path.join(@root, "Cargo.toml")))

    version
  end

  defp to_integers(list), do: Enum.map(list, &String.to_integer/1)

  defp find_artifact(output) do
    path =
      for line <- String.split(output, "\n"),
          line =~ ~s("reason":"compiler-artifact"),
          line =~ ~s("name":"#{@crate}"),
          line =~ ~s("cdylib"),
          [_, list] <- [Regex.run(~r/"filenames":\[((?:"(?:[^"\\]|\\.)*",?)*)\]/, line)],
          [_, quoted] <- Regex.scan(~r/"((?:[^"\\]|\\.)*)"/, list),
          path = Regex.replace(~r/\\(.)/, quoted, "\\1"),
          Path.extname(path) in ~w(.so .dylib .dll),
          do: path

    case path do
      [path | _] -> {:ok, path}
      [] -> {:error, "cargo built native/#{@crate} and named no library; it said:\n#{output}"}
    end
  end

  # A running VM may have mapped the old library: it is replaced by a rename, never written over.
  defp install(built, stamp) do
    library = library()
    temporary = "#{library}.#{System.pid()}.tmp"

    with :ok <- File.mkdir_p(Path.dirname(library)),
         :ok <- File.mkdir_p(Path.dirname(manifest())),
         {:ok, _bytes} <- File.copy(built, temporary),
         :ok <- File.rename(temporary, library),
         {:ok, %{size: size, mtime: mtime}} <- File.stat(library, time: :posix),
         :ok <- File.write(manifest(), :erlang.term_to_binary({stamp, lock(), size, mtime})) do
      # Where the project has a `priv` of its own, this links the one in the build path to it.
      Mix.Project.build_structure()
      :ok
    else
      {:error, reason} ->
        File.rm(temporary)
        {:error, "could not install #{built} as #{library}: #{:file.format_error(reason)}"}
    end
  end

  # Erlang looks for ".so" on macOS too, though cargo makes a ".dylib" there.
  defp library do
    extension = if match?({:win32, _}, :os.type()), do: ".dll", else: ".so"
    Path.join([Mix.Project.app_path(), "priv", @crate <> extension])
  end

  defp manifest, do: Path.join(Mix.Project.manifest_path(), @manifest)

  defp failed(message) do
    Mix.shell().error("** #{message}")

    diagnostic = %Mix.Task.Compiler.Diagnostic{
      compiler_name: "shape_router_nif",
      file: Path.join([@root, "native", @crate, "Cargo.toml"]),
      message: message,
      position: nil,
      severity: :error
    }

    {:error, [diagnostic]}
  end
end
