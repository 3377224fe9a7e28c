defmodule ShapeRouter.Http.Request do
  @moduledoc false
  # What was asked: the same for the embedded endpoint and for Plug. Names of headers are lower case.

  @enforce_keys [:method, :path]
  defstruct [:method, :path, query: "", headers: []]

  @type t :: %__MODULE__{
          method: String.t(),
          path: String.t(),
          query: String.t(),
          headers: [{String.t(), String.t()}]
        }

  @doc "The value of a header; of one that came several times, all with commas between them."
  @spec header(t(), String.t()) :: String.t() | nil
  def header(%__MODULE__{headers: headers}, name) do
    case for {^name, value} <- headers, do: value do
      [] -> nil
      values -> Enum.join(values, ", ")
    end
  end

  @doc "The parameters of the address; `:error` where they are not ones."
  @spec params(t()) :: {:ok, %{String.t() => String.t()}} | :error
  def params(%__MODULE__{query: query}) do
    params = URI.decode_query(query, %{}, :www_form)

    if Enum.all?(params, fn {k, v} -> String.valid?(k) and String.valid?(v) end),
      do: {:ok, params},
      else: :error
  rescue
    ArgumentError -> :error
  end

  @doc "Whether a body compressed by gzip is welcome (RFC 9110, 12.5.3)."
  @spec gzip?(t()) :: boolean()
  def gzip?(request) do
    codings =
      for item <- request |> header("accept-encoding") |> to_string() |> String.split(","),
          [coding | parameters] = item |> String.split(";") |> Enum.map(&String.trim/1),
          into: %{},
          do: {String.downcase(coding), quality(parameters)}

    Map.get_lazy(codings, "gzip", fn -> Map.get(codings, "*", 0.0) end) > 0
  end

  defp quality(parameters) do
    Enum.find_value(parameters, 1.0, fn parameter ->
      with [name, value] <- String.split(parameter, "="),
           "q" <- name |> String.trim() |> String.downcase(),
           {quality, ""} <- value |> String.trim() |> Float.parse() do
        quality
      else
        _ -> nil
      end
    end)
  end
end
