defmodule Host.Telemetry do
  @moduledoc "What this service's `GET /metrics` answers."

  def metrics do
    {ShapeRouter.Prometheus.content_type(), ShapeRouter.Prometheus.metrics(labels: [:table])}
  end
end
