defmodule Host.MixProject do
  use Mix.Project

  def project do
    [
      app: :host,
      version: "0.1.0",
      elixir: "~> 1.14",
      deps: [{:shape_router, path: "../.."}]
    ]
  end

  def application, do: [extra_applications: [:logger]]
end
