defmodule ShapeRouter.Registry.Directory do
  @moduledoc false
  # A name of any characters as the name of a directory: different ones for different names, also where
  # the file system does not tell upper from lower case, and none that leads elsewhere.

  alias ShapeRouter.Error

  # File systems take 255 bytes.
  @longest 150
  @kept 80

  @spec name(String.t()) :: String.t()
  def name(""), do: "%"

  def name(name) do
    encoded = for <<byte <- name>>, into: "", do: encode(byte)

    if byte_size(encoded) <= @longest do
      encoded
    else
      # "%~" is in no encoded name.
      hash = :crypto.hash(:sha256, name) |> Base.encode16(case: :lower)
      binary_part(encoded, 0, @kept) <> "%~" <> hash
    end
  end

  defp encode(byte) when byte in ?a..?z or byte in ?0..?9 or byte in [?_, ?-], do: <<byte>>
  defp encode(byte), do: "%" <> Base.encode16(<<byte>>, case: :lower)

  @spec make(Path.t() | nil) :: :ok | {:error, Error.t()}
  def make(nil), do: :ok

  def make(directory) do
    with {:error, reason} <- File.mkdir_p(directory) do
      message = "#{directory} cannot be made: #{:file.format_error(reason)}"
      {:error, %Error{code: :io_error, message: message}}
    end
  end

  @doc "Removes a directory with all that is in it; links in it are removed, not followed."
  @spec remove(Path.t() | nil) :: :ok | {:error, Error.t()}
  def remove(nil), do: :ok

  def remove(directory) do
    case File.rm_rf(directory) do
      {:ok, _removed} ->
        :ok

      {:error, reason, file} ->
        message = "#{file} cannot be removed: #{:file.format_error(reason)}"
        {:error, %Error{code: :io_error, message: message}}
    end
  end
end
