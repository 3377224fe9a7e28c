defmodule ShapeRouter.WholeLog do
  @moduledoc "A shape's log from its beginning to where it ends now, as a client reads it."

  alias ShapeRouter.Demo.Json
  alias ShapeRouter.ShapeLog

  @doc "Its messages, decoded."
  @spec messages(ShapeLog.t()) :: [map()]
  def messages(log), do: log |> pieces() |> Enum.flat_map(&Json.decode!/1)

  @doc "The JSON array of each answer."
  @spec pieces(ShapeLog.t(), ShapeLog.offset() | :before_all) :: [binary()]
  def pieces(log, offset \\ :before_all) do
    case ShapeLog.read(log, offset) do
      {:cached, json, headers} -> [json | on(log, headers)]
      {:stream, pieces, headers} -> [IO.iodata_to_binary(Enum.to_list(pieces)) | on(log, headers)]
      {:sendfile, path, 0, _, headers} -> [File.read!(path) | on(log, headers)]
    end
  after
    ShapeLog.release()
  end

  defp on(log, headers) do
    if List.keymember?(headers, "electric-up-to-date", 0) do
      []
    else
      {_, next} = List.keyfind(headers, "electric-offset", 0)
      {:ok, next} = ShapeLog.parse_offset(next)
      pieces(log, next)
    end
  end
end
