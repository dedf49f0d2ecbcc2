export default function Builds() {
  return <div class="page" />;
}
