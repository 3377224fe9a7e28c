# The compiler that builds the native library is plain code in its own file, so that the package
# needs no other package to be built.
Code.require_file("native/compile_shape_router_nif.exs", __DIR__)

defmodule ShapeRouter.MixProject do
  use Mix.Project

  @version "0.1.0"

  def project do
    [
      app: :shape_router,
      version: @version,
      elixir: "~> 1.14",
      name: "ShapeRouter",
      description: description(),
      package: package(),
      docs: docs(),
      compilers: [:shape_router_nif | Mix.compilers()],
      elixirc_paths: elixirc_paths(Mix.env()),
      test_paths: ["test"],
      start_permanent: Mix.env() == :prod,
      deps: []
    ]
  end

  def application do
    [mod: {ShapeRouter.Application, []}, extra_applications: [:logger, :crypto]]
  end

  # As a dependency the project is compiled in :prod, without the demo.
  defp elixirc_paths(:test), do: ["lib", "demo", "test/support"]
  defp elixirc_paths(:dev), do: ["lib", "demo"]
  defp elixirc_paths(_env), do: ["lib"]

  defp description do
    "Answers, for every change in PostgreSQL's WAL, which subscriptions (one table and a WHERE " <>
      "clause each) it belongs to. A Rust library, loaded as a NIF."
  end

  # Cargo refuses a workspace of which a member is missing, so everything that Cargo.toml names
  # as a member has to be in the package.
  defp package do
    [
      name: "shape_router",
      licenses: ["Apache-2.0"],
      links: %{},
      files: ~w(lib native benches Cargo.toml Cargo.lock mix.exs .formatter.exs
        README.md CHANGELOG.md LICENSE docs),
      exclude_patterns: [~r"/target/", ~r"/corpus/", ~r"/artifacts/"]
    ]
  end

  defp docs do
    [
      main: "readme",
      source_ref: "v#{@version}",
      extras: ["README.md", "CHANGELOG.md" | Path.wildcard("docs/*.md")]
    ]
  end
end
