defmodule ShapeRouter.Filter.Report do
  @moduledoc false
  # What a filter tells about what it could not do: to the log, as telemetry, as an error.

  require Logger
  alias ShapeRouter.Filter.Definition
  alias ShapeRouter.{Error, Telemetry}

  @spec duplicate(term()) :: Error.t()
  def duplicate(id),
    do: %Error{code: :duplicate_shape, message: "shape #{inspect(id)} exists already"}

  @spec unknown(term()) :: Error.t()
  def unknown(id), do: %Error{code: :unknown_shape, message: "there is no shape #{inspect(id)}"}

  @doc "A clause that is not taken: its shape is concerned by everything."
  @spec refused(term(), Definition.t(), Error.t()) :: :ok
  def refused(id, definition, error) do
    Telemetry.execute([:filter, :refused], %{count: 1}, %{
      shape: id,
      table: definition.table,
      clause: definition.clause,
      error: error
    })

    Logger.warning(
      "shape #{inspect(id)} is concerned by every change of #{Definition.name(definition.table)}, " <>
        "since its clause is refused (#{error.code}): #{error.message}"
    )
  end

  @doc "A change that cannot be read: it concerns all shapes of its table."
  @spec unreadable(ShapeRouter.Changes.relation() | :all, term()) :: :ok
  def unreadable(relation, error) do
    Telemetry.execute([:filter, :unreadable], %{count: 1}, %{table: relation, error: error})

    if Telemetry.once?({:unreadable, relation}) do
      Logger.error("a change of #{inspect(relation)} concerns all its shapes: #{words(error)}")
    end

    :ok
  end

  defp words(error) when is_exception(error), do: Exception.message(error)
  defp words(error), do: inspect(error, limit: 10)
end
