defmodule ShapeRouter.Application do
  @moduledoc false
  use Application

  @impl true
  def start(_type, _args) do
    _ = Code.ensure_loaded(:telemetry)

    children = [
      ShapeRouter.Telemetry.Server,
      ShapeRouter.Registry,
      ShapeRouter.Collector.Directory,
      ShapeRouter.Sendfile.Watchdog
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: ShapeRouter.Supervisor)
  end
end
