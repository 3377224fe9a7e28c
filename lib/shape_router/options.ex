defmodule ShapeRouter.Options do
  @moduledoc false
  # Keyword options against their defaults: what is unknown is refused by name.

  alias ShapeRouter.Error

  @spec merge(term(), keyword(), String.t()) :: {:ok, map()} | {:error, Error.t()}
  def merge(opts, defaults, what \\ "options") do
    if Keyword.keyword?(opts) do
      case Keyword.keys(opts) -- Keyword.keys(defaults) do
        [] ->
          {:ok, defaults |> Keyword.merge(opts) |> Map.new()}

        unknown ->
          known = inspect(Keyword.keys(defaults))
          Error.argument("unknown #{what} #{inspect(unknown)}; known are #{known}")
      end
    else
      Error.argument("#{what} are not a keyword list: #{inspect(opts)}")
    end
  end
end
